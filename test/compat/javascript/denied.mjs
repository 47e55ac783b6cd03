// A missing permission is the client's 403.
import assert from "node:assert";
import { DefaultAzureCredential } from "@azure/identity";
import { CertificateClient, DefaultCertificatePolicy } from "@azure/keyvault-certificates";

const client = new CertificateClient(`https://${process.env.KEY_VAULT_NAME}.vault.azure.net`, new DefaultAzureCredential());
await (await client.beginCreateCertificate("web-js", DefaultCertificatePolicy, { intervalInMs: 100 })).pollUntilDone();
await (await client.beginDeleteCertificate("web-js", { intervalInMs: 100 })).pollUntilDone();
const error = await client.purgeDeletedCertificate("web-js").then(() => assert.fail("purged without the permission"), (e) => e);
assert.equal(error.name, "RestError", error);
assert.equal(error.statusCode, 403, error);
assert.equal(error.code, "Forbidden", error);
console.log("denied done");
