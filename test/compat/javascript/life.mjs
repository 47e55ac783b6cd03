// The whole life of a certificate, by the official client, as a program would do it.
import assert from "node:assert";
import { DefaultAzureCredential } from "@azure/identity";
import { CertificateClient, DefaultCertificatePolicy } from "@azure/keyvault-certificates";

const client = new CertificateClient(`https://${process.env.KEY_VAULT_NAME}.vault.azure.net`, new DefaultAzureCredential());
const start = Date.now();
const make = async (name) => (await client.beginCreateCertificate(name, DefaultCertificatePolicy, { intervalInMs: 100 })).pollUntilDone();
const collect = async (items) => {
  const out = [];
  for await (const item of items) out.push(item);
  return out;
};
const refused = async (promise, status, code) => {
  const error = await promise.then(() => assert.fail("it was not refused"), (e) => e);
  assert.equal(error.statusCode, status, error);
  assert.equal(error.code, code, error);
};

const first = await make("web");
assert.ok(first.cer.length > 0);
const second = await make("web");
assert.notEqual(first.properties.version, second.properties.version);
assert.deepEqual((await client.getCertificate("web")).cer, second.cer);
assert.deepEqual((await client.getCertificateVersion("web", first.properties.version)).cer, first.cer);
const versions = (await collect(client.listPropertiesOfCertificateVersions("web"))).map((p) => p.version).sort();
assert.deepEqual(versions, [first.properties.version, second.properties.version].sort());
await make("a");
await make("b");
const names = [];
for await (const page of client.listPropertiesOfCertificates().byPage({ maxPageSize: 2 })) names.push(...page.map((p) => p.name));
assert.deepEqual(names, ["a", "b", "web"]);
assert.deepEqual(await collect(client.listPropertiesOfCertificateVersions("never")), []);

const deletion = await client.beginDeleteCertificate("web", { intervalInMs: 100 });
const deleted = await deletion.pollUntilDone();
assert.equal(deleted.name, "web");
assert.deepEqual((await collect(client.listDeletedCertificates())).map((d) => d.name), ["web"]);
await refused(client.beginCreateCertificate("web", DefaultCertificatePolicy), 409, "Conflict");
const recovery = await client.beginRecoverDeletedCertificate("web", { intervalInMs: 100 });
await recovery.pollUntilDone();
assert.equal((await client.getCertificate("web")).properties.version, second.properties.version);
await (await client.beginDeleteCertificate("web", { intervalInMs: 100 })).pollUntilDone();
await client.purgeDeletedCertificate("web");
await refused(client.getCertificate("web"), 404, "CertificateNotFound");
await refused(client.getDeletedCertificate("web"), 404, "CertificateNotFound");
console.log(`life done in ${(Date.now() - start) / 1000} s`);
