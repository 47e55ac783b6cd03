// Every public method of the certificate, secret, key and cryptography clients.
import assert from "node:assert";
import { createHash, webcrypto } from "node:crypto";
import "reflect-metadata";
import * as x509 from "@peculiar/x509";
import { DefaultAzureCredential } from "@azure/identity";
import { CertificateClient } from "@azure/keyvault-certificates";
import { CryptographyClient, KeyClient } from "@azure/keyvault-keys";
import { SecretClient } from "@azure/keyvault-secrets";

x509.cryptoProvider.set(webcrypto);
const url = `https://${process.env.KEY_VAULT_NAME}.vault.azure.net`;
const credential = new DefaultAzureCredential();
const fast = { intervalInMs: 50 };
const ec = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

// watch records which public methods were called; done fails if one was not.
function watch(client, leave = []) {
  const names = Object.getOwnPropertyNames(Object.getPrototypeOf(client))
    .filter((name) => name !== "constructor" && !name.startsWith("_") && !leave.includes(name) && typeof client[name] === "function");
  const called = new Set();
  const watched = new Proxy(client, {
    get(target, name) {
      const value = target[name];
      if (typeof value !== "function") return value;
      return (...args) => { called.add(name); return value.apply(target, args); };
    },
  });
  const done = () => {
    assert.deepEqual(names.filter((name) => !called.has(name)), [], "never called");
    for (const name of [...called].filter((name) => names.includes(name)).sort()) console.log(`called ${client.constructor.name}.${name}`);
    console.log(`${client.constructor.name}: ${names.length} methods`);
  };
  return [watched, done];
}

async function all(pages) {
  const out = [];
  for await (const item of pages) out.push(item);
  return out;
}

const fails = (promise, status, code) => promise.then(() => assert.fail("no error"), (e) => {
  assert.equal(e.name, "RestError", e);
  assert.equal(e.statusCode, status, e);
  if (code) assert.equal(e.code, code, e);
  return e;
});

const policy = (issuerName) => ({ issuerName, subject: "CN=every.example", keyType: "EC", keyCurveName: "P-256" });

async function certificates() {
  const [client, done] = watch(new CertificateClient(url, credential));
  const created = await (await client.beginCreateCertificate("every", policy("Self"), { ...fast, tags: { a: "b" } })).pollUntilDone();
  assert.equal(created.properties.tags.a, "b");
  assert.equal((await client.getCertificate("every")).id, created.id);
  const version = created.properties.version;
  assert.equal((await client.getCertificateVersion("every", version)).properties.version, version);
  assert.equal((await client.updateCertificateProperties("every", version, { enabled: false })).properties.enabled, false);
  assert.equal((await client.getCertificatePolicy("every")).subject, "CN=every.example");
  await client.updateCertificatePolicy("every", { ...policy("Self"), validityInMonths: 6 }); // the client does not return what it got
  assert.equal((await client.getCertificatePolicy("every")).validityInMonths, 6);
  assert.equal((await all(client.listPropertiesOfCertificates())).length, 1);
  assert.equal((await all(client.listPropertiesOfCertificateVersions("every"))).length, 1);

  await client.beginCreateCertificate("merged", policy("Unknown"), fast);
  const operation = await client.getCertificateOperation("merged", fast);
  await operation.poll();
  const csr = new x509.Pkcs10CertificateRequest(operation.getOperationState().certificateOperation.csr);
  const keys = await webcrypto.subtle.generateKey(ec, true, ["sign", "verify"]);
  const times = { notBefore: new Date(), notAfter: new Date(Date.now() + 30 * 864e5) };
  const root = await x509.X509CertificateGenerator.createSelfSigned({ serialNumber: "01", name: "CN=authority", keys, signingAlgorithm: ec, ...times });
  const leaf = await x509.X509CertificateGenerator.create({
    serialNumber: "02", subject: csr.subject, issuer: root.subject, publicKey: csr.publicKey, signingKey: keys.privateKey, signingAlgorithm: ec, ...times,
  });
  const merged = await client.mergeCertificate("merged", [Buffer.from(leaf.rawData), Buffer.from(root.rawData)]);
  assert.deepEqual(Buffer.from(merged.cer), Buffer.from(leaf.rawData));

  await client.beginCreateCertificate("waits", policy("Unknown"), fast);
  const poller = await client.getCertificateOperation("waits", fast);
  await poller.cancelOperation();
  assert.equal((await client.deleteCertificateOperation("waits")).status, "inProgress");
  await fails(client.beginCreateCertificate("merged", policy("nobody"), fast), 400, "BadParameter");

  const self = await x509.X509CertificateGenerator.createSelfSigned({ serialNumber: "03", name: "CN=mine", keys, signingAlgorithm: ec, ...times });
  const pkcs8 = x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", keys.privateKey), "PRIVATE KEY");
  const pem = Buffer.from(`${pkcs8}\n${self.toString("pem")}\n`);
  const imported = await client.importCertificate("pem", pem, { policy: { contentType: "application/x-pem-file", issuerName: "Self" } });
  assert.equal(imported.policy.subject, "CN=mine");
  const exported = Buffer.from((await new SecretClient(url, credential).getSecret("merged")).value, "base64");
  assert.deepEqual(Buffer.from((await client.importCertificate("pfx", exported)).cer), Buffer.from(leaf.rawData));
  await fails(client.importCertificate("bad", exported, { password: "wrong" }), 400, "BadParameter");

  const blob = await client.backupCertificate("every");
  await (await client.beginDeleteCertificate("every", fast)).pollUntilDone();
  assert.equal((await client.getDeletedCertificate("every")).name, "every");
  assert.equal((await all(client.listDeletedCertificates())).length, 1);
  await fails(client.beginCreateCertificate("every", policy("Self"), fast), 409, "Conflict");
  await (await client.beginRecoverDeletedCertificate("every", fast)).pollUntilDone();
  await (await client.beginDeleteCertificate("every", fast)).pollUntilDone();
  await client.purgeDeletedCertificate("every");
  assert.equal((await client.restoreCertificateBackup(blob)).properties.version, version);
  await fails(client.getCertificate("none"), 404, "CertificateNotFound");

  assert.equal((await client.setContacts([{ email: "a@example.com", name: "A", phone: "1" }]))[0].email, "a@example.com");
  assert.equal((await client.getContacts()).length, 1);
  await client.deleteContacts();
  await fails(client.getContacts(), 404, "ContactsNotFound");
  assert.equal((await client.createIssuer("ca", "Test", { accountId: "me", password: "canary" })).accountId, "me");
  assert.equal((await client.updateIssuer("ca", { provider: "Other" })).provider, "Other");
  assert.equal((await client.getIssuer("ca")).password, undefined);
  assert.equal((await all(client.listPropertiesOfIssuers())).length, 1);
  await client.deleteIssuer("ca");
  done();
}

async function secrets() {
  const [client, done] = watch(new SecretClient(url, credential));
  const first = await client.setSecret("s", "one", { contentType: "text/plain", tags: { a: "b" } });
  assert.equal((await client.getSecret("s")).value, "one");
  await client.updateSecretProperties("s", first.properties.version, { enabled: false });
  await fails(client.getSecret("s"), 403, "Forbidden");
  await client.updateSecretProperties("s", first.properties.version, { enabled: true });
  assert.equal((await all(client.listPropertiesOfSecretVersions("s"))).length, 1);
  assert.equal((await all(client.listPropertiesOfSecrets())).filter((s) => s.name === "s").length, 1);
  const blob = await client.backupSecret("s");
  await (await client.beginDeleteSecret("s", fast)).pollUntilDone();
  await client.getDeletedSecret("s");
  assert.equal((await all(client.listDeletedSecrets())).length, 1);
  await fails(client.setSecret("s", "two"), 409, "Conflict");
  await (await client.beginRecoverDeletedSecret("s", fast)).pollUntilDone();
  await (await client.beginDeleteSecret("s", fast)).pollUntilDone();
  await client.purgeDeletedSecret("s");
  assert.equal((await client.restoreSecretBackup(blob)).version, first.properties.version);
  await fails(client.getSecret("none"), 404, "SecretNotFound");
  done();
}

async function keys() {
  // Those of a managed HSM, the release that needs an attestation, and a private helper.
  const [client, done] = watch(new KeyClient(url, credential), ["getRandomBytes", "getKeyAttestation", "releaseKey", "disambiguateUpdateKeyPropertiesArgs"]);
  const made = await client.createKey("k", "EC");
  await client.createEcKey("ec", { curve: "P-384" });
  await client.createRsaKey("rsa", { keySize: 2048 });
  await client.createOctKey("aes", { hsm: true, keySize: 256 });
  const pair = await webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const jwk = await webcrypto.subtle.exportKey("jwk", pair.privateKey);
  const bytes = (text) => Buffer.from(text, "base64url");
  const imported = await client.importKey("imported", { kty: "EC", crv: jwk.crv, x: bytes(jwk.x), y: bytes(jwk.y), d: bytes(jwk.d), keyOps: ["sign", "verify"] });
  assert.equal(imported.key.d, undefined);
  assert.equal((await client.getKey("k")).id, made.id);
  assert.equal((await client.updateKeyProperties("k", made.properties.version, { tags: { a: "b" } })).properties.tags.a, "b");
  assert.ok((await all(client.listPropertiesOfKeys())).length >= 5);
  assert.equal((await all(client.listPropertiesOfKeyVersions("k"))).length, 1);
  assert.equal((await client.getKeyRotationPolicy("k")).expiresIn, undefined);
  await client.updateKeyRotationPolicy("k", { expiresIn: "P90D", lifetimeActions: [{ action: "Rotate", timeAfterCreate: "P30D" }] });
  assert.notEqual((await client.rotateKey("k")).id, made.id);
  const blob = await client.backupKey("k");
  await (await client.beginDeleteKey("k", fast)).pollUntilDone();
  await client.getDeletedKey("k");
  assert.equal((await all(client.listDeletedKeys())).length, 1);
  await (await client.beginRecoverDeletedKey("k", fast)).pollUntilDone();
  await (await client.beginDeleteKey("k", fast)).pollUntilDone();
  await client.purgeDeletedKey("k");
  await client.restoreKeyBackup(blob);
  await fails(client.getKey("none"), 404, "KeyNotFound");
  client.getCryptographyClient("k");
  done();

  const remote = new CryptographyClient((await client.getKey("rsa")).id, credential);
  const [crypto, cryptoDone] = watch(remote, ["initializeIV", "disambiguateEncryptArguments", "disambiguateDecryptArguments", "getKeyMaterial", "fetchKey", "getProvider", "ensureValid"]);
  const plaintext = Buffer.from("plain");
  const sealed = await crypto.encrypt({ algorithm: "RSA-OAEP-256", plaintext });
  assert.deepEqual(Buffer.from((await crypto.decrypt({ algorithm: "RSA-OAEP-256", ciphertext: sealed.result })).result), plaintext);
  const wrapped = await crypto.wrapKey("RSA-OAEP", plaintext);
  assert.deepEqual(Buffer.from((await crypto.unwrapKey("RSA-OAEP", wrapped.result)).result), plaintext);
  const digest = createHash("sha256").update(plaintext).digest();
  assert.ok((await crypto.verify("PS256", digest, (await crypto.sign("PS256", digest)).result)).result);
  assert.ok((await crypto.verifyData("RS256", plaintext, (await crypto.signData("RS256", plaintext)).result)).result);
  cryptoDone();
}

await certificates();
await secrets();
await keys();
console.log("every method done");
