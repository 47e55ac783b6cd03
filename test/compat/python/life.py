"""The whole life of a certificate, by the official client, as a program would do it."""

import os
import sys
import time

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.keyvault.certificates import CertificateClient, CertificatePolicy

client = CertificateClient(f"https://{os.environ['KEY_VAULT_NAME']}.vault.azure.net", DefaultAzureCredential())
start = time.monotonic()


def make(name):
    return client.begin_create_certificate(name, CertificatePolicy.get_default()).result()


first = make("web")
assert first.name == "web" and first.cer and first.properties.enabled, first
operation = client.get_certificate_operation("web")
assert operation.status == "completed", operation.status
assert client.get_certificate("web").cer == first.cer
assert client.get_certificate_version("web", first.properties.version).cer == first.cer
second = make("web")
assert second.properties.version != first.properties.version
versions = sorted(p.version for p in client.list_properties_of_certificate_versions("web"))
assert versions == sorted([first.properties.version, second.properties.version]), versions
for name in ("a", "b"):
    make(name)
pages = list(client.list_properties_of_certificates(max_page_size=2).by_page())
names = [p.name for page in pages for p in page]
assert names == ["a", "b", "web"], names

deleted = client.begin_delete_certificate("web").result()
assert deleted.name == "web" and deleted.recovery_id and deleted.scheduled_purge_date, deleted
assert client.get_deleted_certificate("web").deleted_on == deleted.deleted_on
assert [d.name for d in client.list_deleted_certificates()] == ["web"]
try:
    make("web")
    sys.exit("a deleted name was taken again")
except ResourceExistsError as e:
    assert e.error.code == "Conflict", e.error.code
recovered = client.begin_recover_deleted_certificate("web").result()
assert recovered.name == "web"
assert client.get_certificate("web").properties.version == second.properties.version
client.begin_delete_certificate("web").result()
client.purge_deleted_certificate("web")
for lost in (client.get_certificate, client.get_deleted_certificate):
    try:
        lost("web")
        sys.exit("a purged certificate was found")
    except ResourceNotFoundError as e:
        assert e.error.code == "CertificateNotFound", e.error.code
try:
    client.get_certificate("never")
    sys.exit("an unknown certificate was found")
except ResourceNotFoundError:
    pass
print(f"life done in {time.monotonic() - start:.2f} s")
