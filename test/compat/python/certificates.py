"""Every public method of the certificate client, and its exceptions."""

import base64
import datetime
import os

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.core.rest import HttpRequest
from azure.identity import DefaultAzureCredential
from azure.keyvault.certificates import (
    AdministratorContact, CertificateClient, CertificateContact, CertificateContentType, CertificatePolicy,
    WellKnownIssuerNames,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import NameOID

from watch import watch

url = f"https://{os.environ['KEY_VAULT_NAME']}.vault.azure.net"
client = CertificateClient(url, DefaultAzureCredential())
done = watch(client)


def policy(issuer, **more):
    return CertificatePolicy(issuer_name=issuer, subject="CN=every.example", key_type="EC", key_curve_name="P-256", **more)


def fails(kind, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as e:
        return e
    raise AssertionError(f"no {kind.__name__}")


def sign(subject, public, key, issuer, ca=False):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
        .serial_number(x509.random_serial_number()).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True).sign(key, hashes.SHA256())
    )


# Create, read, change.
made = client.begin_create_certificate("every", policy("Self"), tags={"a": "b"}).result()
assert made.properties.enabled and made.properties.tags == {"a": "b"}
assert client.get_certificate("every").id == made.id
assert client.get_certificate_version("every", made.properties.version).cer == made.cer
changed = client.update_certificate_properties("every", made.properties.version, enabled=False)
assert changed.properties.enabled is False and changed.properties.updated_on > made.properties.updated_on
assert client.get_certificate_policy("every").subject == "CN=every.example"
assert client.update_certificate_policy("every", policy("Self", validity_in_months=6)).validity_in_months == 6
assert [c.name for c in client.list_properties_of_certificates()] == ["every"]
assert len(list(client.list_properties_of_certificate_versions("every"))) == 1
assert client.get_certificate_operation("every").status == "completed"

# An operation that waits: cancel, delete.
waiting = client.begin_create_certificate("waits", policy(WellKnownIssuerNames.unknown)).result()
assert waiting.status == "inProgress", waiting
assert client.cancel_certificate_operation("waits").cancellation_requested is True
assert client.delete_certificate_operation("waits").status == "inProgress"
fails(ResourceNotFoundError, client.get_certificate_operation, "waits")
fails(ResourceExistsError, lambda: [client.begin_create_certificate("twice", policy("Unknown")).result() for _ in range(2)])

# Merge what an authority makes of the CSR.
client.begin_create_certificate("merged", policy("Unknown")).result()
request = x509.load_der_x509_csr(client.get_certificate_operation("merged").csr)
authority = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
root = sign(name, authority.public_key(), authority, name, ca=True)
leaf = sign(request.subject, request.public_key(), authority, name)
encoded = [leaf.public_bytes(serialization.Encoding.DER), base64.b64encode(root.public_bytes(serialization.Encoding.DER))]
assert bytes(client.merge_certificate("merged", encoded).cer) == leaf.public_bytes(serialization.Encoding.DER)

# Import both forms.
key = ec.generate_private_key(ec.SECP256R1())
mine = sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mine")]), key.public_key(), authority, name)
pfx = pkcs12.serialize_key_and_certificates(b"mine", key, mine, [root], serialization.BestAvailableEncryption(b"secret"))
assert client.import_certificate("pfx", pfx, password="secret").policy.issuer_name == "Unknown"
pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + mine.public_bytes(serialization.Encoding.PEM)
imported = client.import_certificate("pem", pem, policy=CertificatePolicy(issuer_name="Self", content_type=CertificateContentType.pem))
assert imported.policy.subject == "CN=mine", imported.policy.subject
bad = fails(HttpResponseError, client.import_certificate, "bad", pfx, password="wrong")
assert bad.status_code == 400 and bad.error.code == "BadParameter", bad

# Delete, recover, purge, back up, restore.
blob = client.backup_certificate("every")
client.begin_delete_certificate("every").result()
assert client.get_deleted_certificate("every").scheduled_purge_date
assert [c.name for c in client.list_deleted_certificates()] == ["every"]
exists = fails(ResourceExistsError, client.begin_create_certificate, "every", policy("Self"))
assert exists.error.innererror["code"] == "ObjectIsDeletedButRecoverable", exists
assert client.begin_recover_deleted_certificate("every").result().id == made.id
client.begin_delete_certificate("every").result()
client.purge_deleted_certificate("every")
assert client.restore_certificate_backup(blob).properties.version == made.properties.version
fails(ResourceNotFoundError, client.get_certificate, "none")

# Contacts and issuers.
assert [c.email for c in client.set_contacts([CertificateContact(email="a@example.com", name="A", phone="1")])] == ["a@example.com"]
assert len(client.get_contacts()) == 1 and len(client.delete_contacts()) == 1
fails(ResourceNotFoundError, client.get_contacts)
admin = AdministratorContact(first_name="John", last_name="Doe", email="admin@example.com", phone="42")
assert client.create_issuer("ca", "Test", account_id="me", password="canary", admin_contacts=[admin]).admin_contacts[0].first_name == "John"
assert client.get_issuer("ca").password is None
assert client.update_issuer("ca", enabled=False).enabled is False
assert [i.provider for i in client.list_properties_of_issuers()] == ["Test"]
client.delete_issuer("ca")
fails(ResourceNotFoundError, client.get_issuer, "ca")

# Any request, through the client's own pipeline.
raw = client.send_request(HttpRequest("GET", f"{url}/certificates/none?api-version=7.5"))
assert raw.status_code == 404 and raw.json()["error"]["code"] == "CertificateNotFound", raw.text()
client.close()
done()
print("certificates done")
