"""A missing permission is the client's 403."""

import os
import sys

from azure.core.exceptions import HttpResponseError
from azure.identity import DefaultAzureCredential
from azure.keyvault.certificates import CertificateClient, CertificatePolicy

client = CertificateClient(f"https://{os.environ['KEY_VAULT_NAME']}.vault.azure.net", DefaultAzureCredential())
client.begin_create_certificate("web", CertificatePolicy.get_default()).result()
client.begin_delete_certificate("web").result()
try:
    client.purge_deleted_certificate("web")
    sys.exit("purged without the permission")
except HttpResponseError as e:
    assert type(e) is HttpResponseError, type(e)
    assert e.status_code == 403 and e.error.code == "Forbidden", e
    assert e.error.innererror["code"] == "ForbiddenByPolicy", e.error.innererror
print("denied done")
