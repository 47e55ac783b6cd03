"""Makes the RSA key that tools use, and prints its id."""

import os

from azure.identity import DefaultAzureCredential
from azure.keyvault.keys import KeyClient

client = KeyClient(f"https://{os.environ['KEY_VAULT_NAME']}.vault.azure.net", DefaultAzureCredential())
print(client.create_rsa_key("tools", size=2048).id)
