"""Every public method of the secret, key and cryptography clients."""

import hashlib
import os

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import DefaultAzureCredential
from azure.keyvault.keys import ApiVersion, JsonWebKey, KeyClient, KeyRotationLifetimeAction, KeyRotationPolicy, KeyRotationPolicyAction
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm, SignatureAlgorithm
from azure.keyvault.secrets import SecretClient
from cryptography.hazmat.primitives.asymmetric import rsa

from watch import watch

url = f"https://{os.environ['KEY_VAULT_NAME']}.vault.azure.net"
credential = DefaultAzureCredential()


def fails(kind, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except kind as e:
        return e
    raise AssertionError(f"no {kind.__name__}")


secrets = SecretClient(url, credential)
done = watch(secrets, leave=("close", "send_request"))
first = secrets.set_secret("s", "one", content_type="text/plain", tags={"a": "b"})
assert secrets.get_secret("s").value == "one"
assert secrets.update_secret_properties("s", enabled=False).enabled is False
disabled = fails(HttpResponseError, secrets.get_secret, "s")
assert disabled.status_code == 403 and disabled.error.innererror["code"] == "SecretDisabled", disabled
secrets.update_secret_properties("s", first.properties.version, enabled=True)
assert len(list(secrets.list_properties_of_secret_versions("s"))) == 1
assert [s.name for s in secrets.list_properties_of_secrets()] == ["s"]
blob = secrets.backup_secret("s")
secrets.begin_delete_secret("s").result()
assert secrets.get_deleted_secret("s").name == "s" and len(list(secrets.list_deleted_secrets())) == 1
fails(ResourceExistsError, secrets.set_secret, "s", "two")
secrets.begin_recover_deleted_secret("s").result()
secrets.begin_delete_secret("s").result()
secrets.purge_deleted_secret("s")
assert secrets.restore_secret_backup(blob).version == first.properties.version
fails(ResourceNotFoundError, secrets.get_secret, "none")
done()

keys = KeyClient(url, credential)
# A managed HSM's own, and the release that needs an attestation, are not in a vault.
done = watch(keys, leave=("close", "send_request", "get_random_bytes", "get_key_attestation", "release_key"))
made = keys.create_key("k", "EC")
assert keys.create_ec_key("ec", curve="P-384").key.crv == "P-384"
assert keys.create_rsa_key("rsa", size=2048).key_type == "RSA"
assert keys.create_oct_key("aes", hardware_protected=True, size=256).key_type == "oct-HSM"
private = rsa.generate_private_key(65537, 2048)
numbers = private.private_numbers()


def octets(number):
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


imported = keys.import_key("imported", JsonWebKey(
    kty="RSA", key_ops=["sign", "verify"], n=octets(numbers.public_numbers.n), e=octets(65537), d=octets(numbers.d), p=octets(numbers.p),
    q=octets(numbers.q), dp=octets(numbers.dmp1), dq=octets(numbers.dmq1), qi=octets(numbers.iqmp)))
assert imported.key.n == octets(numbers.public_numbers.n) and imported.key.d is None
assert keys.get_key("k").id == made.id
assert keys.update_key_properties("k", tags={"a": "b"}).properties.tags == {"a": "b"}
assert len(list(keys.list_properties_of_keys())) == 5 and len(list(keys.list_properties_of_key_versions("k"))) == 1
assert keys.get_key_rotation_policy("k").expires_in is None
updated = keys.update_key_rotation_policy("k", KeyRotationPolicy(), expires_in="P90D", lifetime_actions=[
    KeyRotationLifetimeAction(KeyRotationPolicyAction.rotate, time_after_create="P30D")])
assert updated.expires_in == "P90D" and len(updated.lifetime_actions) == 2
assert keys.rotate_key("k").id != made.id
blob = keys.backup_key("k")
keys.begin_delete_key("k").result()
assert keys.get_deleted_key("k").name == "k" and len(list(keys.list_deleted_keys())) == 1
keys.begin_recover_deleted_key("k").result()
keys.begin_delete_key("k").result()
keys.purge_deleted_key("k")
assert keys.restore_key_backup(blob).name == "k"
fails(ResourceNotFoundError, keys.get_key, "none")

# Remote and local cryptography agree: a client that holds the public key does locally
# what it can.
digest = hashlib.sha256(b"hello").digest()
client = keys.get_cryptography_client("rsa")
crypto_done = watch(client, leave=("close", "send_request", "from_jwk", "create_rsa_private_key", "create_rsa_public_key"))
remote = CryptographyClient(keys.get_key("rsa").id, credential)
remote._not_yet_valid = False
sealed = client.encrypt(EncryptionAlgorithm.rsa_oaep_256, b"plain").ciphertext
assert client.decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed).plaintext == b"plain"
wrapped = client.wrap_key(KeyWrapAlgorithm.rsa_oaep, b"0" * 32).encrypted_key
assert client.unwrap_key(KeyWrapAlgorithm.rsa_oaep, wrapped).key == b"0" * 32
for algorithm in (SignatureAlgorithm.rs256, SignatureAlgorithm.ps256):
    signature = client.sign(algorithm, digest).signature
    assert client.verify(algorithm, digest, signature).is_valid
    assert not client.verify(algorithm, hashlib.sha256(b"other").digest(), signature).is_valid
crypto_done()
ec = keys.get_cryptography_client("ec")
digest = hashlib.sha384(b"hello").digest()
assert ec.verify(SignatureAlgorithm.es384, digest, ec.sign(SignatureAlgorithm.es384, digest).signature).is_valid
aes = keys.get_cryptography_client("aes")
box = aes.encrypt(EncryptionAlgorithm.a256_gcm, b"plain", additional_authenticated_data=b"aad")
assert aes.decrypt(EncryptionAlgorithm.a256_gcm, box.ciphertext, iv=box.iv, authentication_tag=box.tag, additional_authenticated_data=b"aad").plaintext == b"plain"
done()
print("secrets and keys done")
