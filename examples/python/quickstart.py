"""Creates a certificate in a key vault, reads it back and deletes it.

    KEY_VAULT_NAME=demo coffer run -- python3 quickstart.py
"""

import os

from azure.identity import DefaultAzureCredential
from azure.keyvault.certificates import CertificateClient, CertificatePolicy

vault_url = f"https://{os.environ['KEY_VAULT_NAME']}.vault.azure.net"
client = CertificateClient(vault_url=vault_url, credential=DefaultAzureCredential())

name = input("Name of the certificate: ")

print(f"Creating the certificate {name!r} ...")
client.begin_create_certificate(name, CertificatePolicy.get_default()).result()

print(f"Reading the certificate {name!r} ...")
certificate = client.get_certificate(name)
print(f"  version {certificate.properties.version}, {len(certificate.cer)} bytes of DER, valid until {certificate.properties.expires_on:%Y-%m-%d}")

print(f"Deleting the certificate {name!r} ...")
deleted = client.begin_delete_certificate(name).result()
print(f"  it can be recovered until {deleted.scheduled_purge_date:%Y-%m-%d}")
