"""Signs in by whatever the environment offers, reads a secret, and prints it with what the
token says of the way."""

import base64
import json
import os

from azure.identity import DefaultAzureCredential
from azure.keyvault.secrets import SecretClient

url = os.environ["VAULT_URL"]
credential = DefaultAzureCredential()
value = SecretClient(url, credential).get_secret("s").value
token = credential.get_token("https://" + url.split(".", 1)[1] + "/.default").token
claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
print(json.dumps({**claims, "program": "python", "value": value}))
