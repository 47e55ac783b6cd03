// Creates a certificate in a key vault, reads it back and deletes it.
//
//   npm install
//   KEY_VAULT_NAME=demo coffer run -- node quickstart.mjs mycert
import { DefaultAzureCredential } from "@azure/identity";
import { CertificateClient, DefaultCertificatePolicy } from "@azure/keyvault-certificates";

const name = process.argv[2] ?? "quickstart";
const client = new CertificateClient(`https://${process.env.KEY_VAULT_NAME}.vault.azure.net`, new DefaultAzureCredential());

console.log(`Creating the certificate ${name} ...`);
await (await client.beginCreateCertificate(name, DefaultCertificatePolicy)).pollUntilDone();

console.log(`Reading the certificate ${name} ...`);
const certificate = await client.getCertificate(name);
console.log(`  version ${certificate.properties.version}, ${certificate.cer.length} bytes of DER`);

console.log(`Deleting the certificate ${name} ...`);
const deleted = await (await client.beginDeleteCertificate(name)).pollUntilDone();
console.log(`  it can be recovered until ${deleted.scheduledPurgeDate.toISOString().slice(0, 10)}`);
