"""Leaves the exported form of certificates of every kind in the current directory."""

import base64
import datetime
import json
import os

from azure.identity import DefaultAzureCredential
from azure.keyvault.certificates import CertificateClient, CertificatePolicy
from azure.keyvault.secrets import SecretClient
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

url = f"https://{os.environ['KEY_VAULT_NAME']}.vault.azure.net"
credential = DefaultAzureCredential()
certificates, secrets = CertificateClient(url, credential), SecretClient(url, credential)
PFX, PEM = "application/x-pkcs12", "application/x-pem-file"
out = []


def keep(name, chain, exportable, self_signed, names, others):
    secret = secrets.get_secret(name)
    pfx = secret.properties.content_type == PFX
    with open(f"{name}.secret", "wb") as f:
        f.write(base64.b64decode(secret.value) if pfx else secret.value.encode())
    der = bytes(certificates.get_certificate(name).cer)
    body = base64.b64encode(der).decode()
    with open(f"{name}.pem", "w") as f:
        f.write("-----BEGIN CERTIFICATE-----\n" + "\n".join(body[i:i + 64] for i in range(0, len(body), 64)) + "\n-----END CERTIFICATE-----\n")
    out.append({"Name": name, "Secret": f"{name}.secret", "PFX": pfx, "Key": exportable, "Chain": chain, "Self": self_signed, "Names": names, "Others": others})


kinds = {"rsa": {"key_type": "RSA"}}
for curve in ("P-256", "P-384", "P-521", "P-256K"):
    kinds[curve.lower()] = {"key_type": "EC", "key_curve_name": curve}
for kind, key in kinds.items():
    for form, content in (("pfx", PFX), ("pem", PEM)):
        for exportable in (True, False):
            name = f"{kind}-{form}-{'open' if exportable else 'locked'}"
            dns = f"{kind}.example"
            policy = CertificatePolicy(issuer_name="Self", subject=f"CN={dns}", san_dns_names=[dns], san_ip_addresses=["10.1.2.3", "2001:db8::1"], content_type=content, exportable=exportable, **key)
            certificates.begin_create_certificate(name, policy).result()
            keep(name, 1, exportable, True, [dns, "10.1.2.3", "2001:db8::1"], ["another.example", "10.3.2.1", "2001:db8::2"])

# Names of every sort: by the subject alone, a wildcard, e-mail.
certificates.begin_create_certificate("subject", CertificatePolicy(issuer_name="Self", subject="C=DE, O=Example, CN=subject.example")).result()
keep("subject", 1, True, True, ["subject.example"], ["other.example", "10.1.2.3"])
certificates.begin_create_certificate("many", CertificatePolicy(
    issuer_name="Self", subject="CN=many", san_dns_names=["*.many.example", "one.example"], san_emails=["me@mail.example"], san_user_principal_names=["me@user.example"],
)).result()
keep("many", 1, True, True, ["a.many.example", "one.example", "me@mail.example"], ["many.example", "many", "you@mail.example", "me@user.example"])

authority = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
now = datetime.datetime.now(datetime.timezone.utc)


def sign(subject, public, ca):
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(public).serial_number(x509.random_serial_number())
        .not_valid_before(now).not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), True).sign(authority, hashes.SHA256())
    )


root = sign(name, authority.public_key(), True)
for form, content in (("pfx", PFX), ("pem", PEM)):
    policy = CertificatePolicy(issuer_name="Unknown", subject="CN=merged.example", key_type="EC", key_curve_name="P-256", content_type=content)
    certificates.begin_create_certificate(f"chain-{form}", policy).result()
    request = x509.load_der_x509_csr(certificates.get_certificate_operation(f"chain-{form}").csr)
    chain = [c.public_bytes(serialization.Encoding.DER) for c in (sign(request.subject, request.public_key(), False), root)]
    certificates.merge_certificate(f"chain-{form}", chain)
    keep(f"chain-{form}", 2, True, False, [], [])

with open("exports.json", "w") as f:
    json.dump(out, f)
