import com.azure.core.credential.TokenCredential;
import com.azure.core.exception.HttpResponseException;
import com.azure.core.exception.ResourceModifiedException;
import com.azure.core.exception.ResourceNotFoundException;
import com.azure.core.util.polling.SyncPoller;
import com.azure.identity.DefaultAzureCredentialBuilder;
import com.azure.security.keyvault.certificates.CertificateClient;
import com.azure.security.keyvault.certificates.CertificateClientBuilder;
import com.azure.security.keyvault.certificates.models.*;
import com.azure.security.keyvault.keys.KeyClient;
import com.azure.security.keyvault.keys.KeyClientBuilder;
import com.azure.security.keyvault.keys.cryptography.CryptographyClient;
import com.azure.security.keyvault.keys.cryptography.models.*;
import com.azure.security.keyvault.keys.models.*;
import com.azure.security.keyvault.secrets.SecretClient;
import com.azure.security.keyvault.secrets.SecretClientBuilder;
import com.azure.security.keyvault.secrets.models.*;

import java.io.ByteArrayOutputStream;
import java.math.BigInteger;
import java.security.*;
import java.security.cert.Certificate;
import java.security.cert.X509Certificate;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.util.*;
import org.bouncycastle.asn1.x500.X500Name;
import org.bouncycastle.asn1.x509.SubjectPublicKeyInfo;
import org.bouncycastle.cert.X509v3CertificateBuilder;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;

/** Every public method of the certificate, secret, key and cryptography clients. */
public class Every {
    static final String URL = "https://" + System.getenv("KEY_VAULT_NAME") + ".vault.azure.net";
    static final TokenCredential CREDENTIAL = new DefaultAzureCredentialBuilder().build();
    static final Duration FAST = Duration.ofMillis(50);

    interface Body { void run() throws Exception; }

    static <E extends Exception> E fails(Class<E> kind, Body body) throws Exception {
        try {
            body.run();
        } catch (Exception e) {
            if (kind.isInstance(e)) return kind.cast(e);
            throw e;
        }
        throw new AssertionError("no " + kind.getSimpleName());
    }

    static void check(boolean ok, Object what) {
        if (!ok) throw new AssertionError(String.valueOf(what));
    }

    static <T> List<T> all(Iterable<T> items) {
        List<T> out = new ArrayList<>();
        items.forEach(out::add);
        return out;
    }

    static <T, U> U done(SyncPoller<T, U> poller) {
        poller.setPollInterval(FAST).waitForCompletion();
        return poller.getFinalResult();
    }

    static CertificatePolicy policy(String issuer) {
        return new CertificatePolicy(issuer, "CN=every.example").setKeyType(CertificateKeyType.EC).setKeyCurveName(CertificateKeyCurveName.P_256);
    }

    static X509Certificate sign(X500Name subject, SubjectPublicKeyInfo key, KeyPair authority) throws Exception {
        long now = System.currentTimeMillis();
        X509v3CertificateBuilder b = new X509v3CertificateBuilder(new X500Name("CN=authority"), BigInteger.valueOf(now), new Date(now), new Date(now + 30L * 86_400_000), subject, key);
        return new JcaX509CertificateConverter().getCertificate(b.build(new JcaContentSignerBuilder("SHA256withECDSA").build(authority.getPrivate())));
    }

    static String pem(KeyPair pair, X509Certificate certificate) throws Exception {
        Base64.Encoder lines = Base64.getMimeEncoder(64, new byte[] {'\n'});
        return "-----BEGIN PRIVATE KEY-----\n" + lines.encodeToString(pair.getPrivate().getEncoded()) + "\n-----END PRIVATE KEY-----\n"
            + "-----BEGIN CERTIFICATE-----\n" + lines.encodeToString(certificate.getEncoded()) + "\n-----END CERTIFICATE-----\n";
    }

    static void certificates() throws Exception {
        CertificateClient client = new CertificateClientBuilder().vaultUrl(URL).credential(CREDENTIAL).buildClient();
        check(client.getVaultUrl().startsWith(URL), client.getVaultUrl());
        KeyVaultCertificateWithPolicy made = done(client.beginCreateCertificate("every", policy("Self"), true, Map.of("a", "b")));
        check("b".equals(made.getProperties().getTags().get("a")), made.getId());
        String version = made.getProperties().getVersion();
        check(client.getCertificate("every").getId().equals(made.getId()), version);
        check(client.getCertificateVersion("every", version).getCer().length > 0, version);
        check(!client.updateCertificateProperties(made.getProperties().setEnabled(false)).getProperties().isEnabled(), "enabled");
        check("CN=every.example".equals(client.getCertificatePolicy("every").getSubject()), "policy");
        check(client.updateCertificatePolicy("every", policy("Self").setValidityInMonths(6)).getValidityInMonths() == 6, "months");
        check(all(client.listPropertiesOfCertificates()).size() == 1, "list");
        check(all(client.listPropertiesOfCertificateVersions("every")).size() == 1, "versions");
        check(client.getCertificateOperation("every").poll().getValue().getStatus().equals("completed"), "operation");

        KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
        generator.initialize(new ECGenParameterSpec("secp256r1"));
        KeyPair authority = generator.generateKeyPair();
        byte[] csr = client.beginCreateCertificate("merged", policy("Unknown")).poll().getValue().getCsr();
        PKCS10CertificationRequest request = new PKCS10CertificationRequest(csr);
        X509Certificate leaf = sign(request.getSubject(), request.getSubjectPublicKeyInfo(), authority);
        check(Arrays.equals(client.mergeCertificate(new MergeCertificateOptions("merged", List.of(leaf.getEncoded()))).getCer(), leaf.getEncoded()), "merge");

        client.beginCreateCertificate("waits", policy("Unknown")).poll();
        check(client.cancelCertificateOperation("waits").getCancellationRequested(), "cancel");
        check(client.deleteCertificateOperation("waits").getStatus().equals("inProgress"), "delete operation");

        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        KeyPair mine = generator.generateKeyPair();
        X509Certificate own = sign(new X500Name("CN=mine"), SubjectPublicKeyInfo.getInstance(mine.getPublic().getEncoded()), authority);
        store.setKeyEntry("mine", mine.getPrivate(), "secret".toCharArray(), new Certificate[] {own});
        ByteArrayOutputStream file = new ByteArrayOutputStream();
        store.store(file, "secret".toCharArray());
        check("CN=mine".equals(client.importCertificate(new ImportCertificateOptions("pfx", file.toByteArray()).setPassword("secret")).getPolicy().getSubject()), "import");
        client.importCertificate(new ImportCertificateOptions("pem", pem(mine, own).getBytes()).setPolicy(new CertificatePolicy("Self", "CN=x").setContentType(CertificateContentType.PEM)));
        check(fails(HttpResponseException.class, () -> client.importCertificate(new ImportCertificateOptions("bad", file.toByteArray()).setPassword("wrong"))).getResponse().getStatusCode() == 400, "password");

        byte[] blob = client.backupCertificate("every");
        client.beginDeleteCertificate("every").setPollInterval(FAST).waitForCompletion();
        check(client.getDeletedCertificate("every").getScheduledPurgeDate() != null, "deleted");
        check(all(client.listDeletedCertificates()).size() == 1, "deleted list");
        fails(ResourceModifiedException.class, () -> client.beginCreateCertificate("every", policy("Self")).poll());
        client.beginRecoverDeletedCertificate("every").setPollInterval(FAST).waitForCompletion();
        client.beginDeleteCertificate("every").setPollInterval(FAST).waitForCompletion();
        client.purgeDeletedCertificate("every");
        check(client.restoreCertificateBackup(blob).getProperties().getVersion().equals(version), "restore");
        fails(ResourceNotFoundException.class, () -> client.getCertificate("none"));

        check(all(client.setContacts(List.of(new CertificateContact().setEmail("a@example.com").setName("A")))).size() == 1, "contacts");
        check(all(client.listContacts()).size() == 1 && all(client.deleteContacts()).size() == 1, "contacts");
        check("me".equals(client.createIssuer(new CertificateIssuer("ca", "Test").setAccountId("me").setPassword("canary")).getAccountId()), "issuer");
        CertificateIssuer issuer = client.getIssuer("ca");
        check(issuer.getPassword() == null, "password");
        check(!client.updateIssuer(issuer.setEnabled(false)).isEnabled(), "issuer");
        check(all(client.listPropertiesOfIssuers()).size() == 1, "issuers");
        client.deleteIssuer("ca");
        fails(ResourceNotFoundException.class, () -> client.getIssuer("ca"));
        System.out.println("certificates done");
    }

    static void secrets() throws Exception {
        SecretClient client = new SecretClientBuilder().vaultUrl(URL).credential(CREDENTIAL).buildClient();
        check(client.getVaultUrl().startsWith(URL), client.getVaultUrl());
        KeyVaultSecret made = client.setSecret("s", "one");
        check("one".equals(client.getSecret("s").getValue()) && "one".equals(client.getSecret("s", made.getProperties().getVersion()).getValue()), "value");
        check(!client.updateSecretProperties(made.getProperties().setEnabled(false)).isEnabled(), "enabled");
        check(fails(HttpResponseException.class, () -> client.getSecret("s")).getResponse().getStatusCode() == 403, "disabled");
        client.updateSecretProperties(made.getProperties().setEnabled(true));
        check(!all(client.listPropertiesOfSecrets()).isEmpty() && all(client.listPropertiesOfSecretVersions("s")).size() == 1, "lists");
        byte[] blob = client.backupSecret("s");
        client.beginDeleteSecret("s").setPollInterval(FAST).waitForCompletion();
        client.getDeletedSecret("s");
        check(all(client.listDeletedSecrets()).size() == 1, "deleted");
        fails(ResourceModifiedException.class, () -> client.setSecret("s", "two"));
        client.beginRecoverDeletedSecret("s").setPollInterval(FAST).waitForCompletion();
        client.beginDeleteSecret("s").setPollInterval(FAST).waitForCompletion();
        client.purgeDeletedSecret("s");
        client.restoreSecretBackup(blob);
        fails(ResourceNotFoundException.class, () -> client.getSecret("none"));
        System.out.println("secrets done");
    }

    static void keys() throws Exception {
        KeyClient client = new KeyClientBuilder().vaultUrl(URL).credential(CREDENTIAL).buildClient();
        check(client.getVaultUrl().startsWith(URL), client.getVaultUrl());
        KeyVaultKey made = client.createKey("k", KeyType.EC);
        client.createEcKey(new CreateEcKeyOptions("ec").setCurveName(KeyCurveName.P_384));
        KeyVaultKey rsa = client.createRsaKey(new CreateRsaKeyOptions("rsa").setKeySize(2048));
        client.createOctKey(new CreateOctKeyOptions("aes").setHardwareProtected(true).setKeySize(256));
        KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
        generator.initialize(2048);
        check(client.importKey("imported", JsonWebKey.fromRsa(generator.generateKeyPair())).getKey().getD() == null, "import");
        check(client.getKey("k").getId().equals(made.getId()), "get");
        client.updateKeyProperties(made.getProperties().setTags(Map.of("a", "b")));
        check(all(client.listPropertiesOfKeys()).size() >= 5 && all(client.listPropertiesOfKeyVersions("k")).size() == 1, "lists");
        check(client.getKeyRotationPolicy("k").getExpiresIn() == null, "policy");
        client.updateKeyRotationPolicy("k", new KeyRotationPolicy().setExpiresIn("P90D").setLifetimeActions(List.of(new KeyRotationLifetimeAction(KeyRotationPolicyAction.ROTATE).setTimeAfterCreate("P30D"))));
        check(!client.rotateKey("k").getId().equals(made.getId()), "rotate");
        byte[] blob = client.backupKey("k");
        client.beginDeleteKey("k").setPollInterval(FAST).waitForCompletion();
        client.getDeletedKey("k");
        check(all(client.listDeletedKeys()).size() == 1, "deleted");
        client.beginRecoverDeletedKey("k").setPollInterval(FAST).waitForCompletion();
        client.beginDeleteKey("k").setPollInterval(FAST).waitForCompletion();
        client.purgeDeletedKey("k");
        client.restoreKeyBackup(blob);
        fails(ResourceNotFoundException.class, () -> client.getKey("none"));

        CryptographyClient crypto = client.getCryptographyClient("rsa", rsa.getProperties().getVersion());
        byte[] plain = "plain".getBytes();
        check(Arrays.equals(crypto.decrypt(EncryptionAlgorithm.RSA_OAEP, crypto.encrypt(EncryptionAlgorithm.RSA_OAEP, plain).getCipherText()).getPlainText(), plain), "encrypt");
        check(Arrays.equals(crypto.unwrapKey(KeyWrapAlgorithm.RSA_OAEP_256, crypto.wrapKey(KeyWrapAlgorithm.RSA_OAEP_256, plain).getEncryptedKey()).getKey(), plain), "wrap");
        byte[] digest = MessageDigest.getInstance("SHA-256").digest(plain);
        check(crypto.verify(SignatureAlgorithm.PS256, digest, crypto.sign(SignatureAlgorithm.PS256, digest).getSignature()).isValid(), "sign");
        check(crypto.verifyData(SignatureAlgorithm.RS256, plain, crypto.signData(SignatureAlgorithm.RS256, plain).getSignature()).isValid(), "sign data");
        check(crypto.getKey().getId().equals(rsa.getId()), "key");
        System.out.println("keys done");
    }

    public static void main(String[] args) throws Exception {
        Watch.methodsOf(CertificateClient.class, SecretClient.class, KeyClient.class, CryptographyClient.class);
        certificates();
        Responses.certificates();
        Watch.done(CertificateClient.class, true);
        secrets();
        Watch.done(SecretClient.class, false);
        keys();
        Watch.done(KeyClient.class, false, "getRandomBytes", "releaseKey", "getKeyAttestation");
        Watch.done(CryptographyClient.class, false);
        System.out.println("every method done");
        System.exit(0);
    }
}
