import com.azure.core.http.rest.Response;
import com.azure.core.util.Context;
import com.azure.security.keyvault.certificates.CertificateClient;
import com.azure.security.keyvault.certificates.CertificateClientBuilder;
import com.azure.security.keyvault.certificates.models.*;

import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.*;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;

/** The forms of the certificate client's methods that give the whole response, or take a context. */
class Responses {
    static <T> T got(int status, Response<T> response) {
        Every.check(response.getStatusCode() == status, response.getStatusCode());
        Every.check(response.getHeaders().getValue("x-ms-request-id") != null, "request id");
        return response.getValue();
    }

    static void certificates() throws Exception {
        CertificateClient client = new CertificateClientBuilder().vaultUrl(Every.URL).credential(Every.CREDENTIAL).buildClient();
        Context context = new Context("a", "b");
        CreateCertificateOptions options = new CreateCertificateOptions("whole", Every.policy("Self")).setEnabled(true).setTags(Map.of("a", "b"));
        KeyVaultCertificateWithPolicy made = Every.done(client.beginCreateCertificate(options));
        String version = made.getProperties().getVersion();
        Every.check(got(200, client.getCertificateWithResponse("whole", context)).getId().equals(made.getId()), "get");
        Every.check(got(200, client.getCertificateVersionWithResponse("whole", version, context)).getCer().length > 0, "version");
        Every.check(got(200, client.updateCertificatePropertiesWithResponse(made.getProperties().setTags(Map.of("c", "d")), context)).getProperties().getTags().equals(Map.of("c", "d")), "tags");
        Every.check(got(200, client.getCertificatePolicyWithResponse("whole", context)).getSubject().equals("CN=every.example"), "policy");
        Every.check(got(200, client.updateCertificatePolicyWithResponse("whole", Every.policy("Self").setValidityInMonths(3), context)).getValidityInMonths() == 3, "months");
        Every.check(Every.all(client.listPropertiesOfCertificateVersions("whole", context)).size() == 1, "versions");

        byte[] blob = got(200, client.backupCertificateWithResponse("whole", context));
        client.beginDeleteCertificate("whole").setPollInterval(Every.FAST).waitForCompletion();
        Every.check(got(200, client.getDeletedCertificateWithResponse("whole", context)).getRecoveryId() != null, "deleted");
        Every.check(Every.all(client.listDeletedCertificates(true, context)).size() == 1, "deleted list");
        got(204, client.purgeDeletedCertificateWithResponse("whole", context));
        Every.check(got(200, client.restoreCertificateBackupWithResponse(blob, context)).getId().equals(made.getId()), "restore");

        operations(client, context);
        // The service's own rule: what never finished issuing is listed on demand only, and outlives its operation.
        List<String> issued = names(client.listPropertiesOfCertificates()), every = names(client.listPropertiesOfCertificates(true, context));
        Every.check(!issued.contains("whole-waits") && every.contains("whole-waits") && every.containsAll(issued), issued + " " + every);
        vaultWide(client, context);
        System.out.println("responses done");
    }

    static List<String> names(Iterable<CertificateProperties> list) {
        return Every.all(list).stream().map(CertificateProperties::getName).toList();
    }

    static void operations(CertificateClient client, Context context) throws Exception {
        client.beginCreateCertificate("whole-waits", Every.policy("Unknown")).poll();
        Every.check(got(200, client.cancelCertificateOperationWithResponse("whole-waits", context)).getCancellationRequested(), "cancel");
        Every.check(got(200, client.deleteCertificateOperationWithResponse("whole-waits", context)).getName().equals("whole-waits"), "delete operation");

        byte[] csr = client.beginCreateCertificate("whole-merged", Every.policy("Unknown")).poll().getValue().getCsr();
        PKCS10CertificationRequest request = new PKCS10CertificationRequest(csr);
        KeyPair authority = KeyPairGenerator.getInstance("EC").generateKeyPair();
        X509Certificate leaf = Every.sign(request.getSubject(), request.getSubjectPublicKeyInfo(), authority);
        MergeCertificateOptions merge = new MergeCertificateOptions("whole-merged", List.of(leaf.getEncoded()));
        Every.check(Arrays.equals(got(201, client.mergeCertificateWithResponse(merge, context)).getCer(), leaf.getEncoded()), "merge");

        KeyPair mine = KeyPairGenerator.getInstance("EC").generateKeyPair();
        X509Certificate own = Every.sign(request.getSubject(), org.bouncycastle.asn1.x509.SubjectPublicKeyInfo.getInstance(mine.getPublic().getEncoded()), authority);
        ImportCertificateOptions pem = new ImportCertificateOptions("whole-pem", Every.pem(mine, own).getBytes()).setPolicy(new CertificatePolicy("Self", "CN=x").setContentType(CertificateContentType.PEM));
        Every.check(Arrays.equals(got(200, client.importCertificateWithResponse(pem, context)).getCer(), own.getEncoded()), "import");
    }

    static void vaultWide(CertificateClient client, Context context) {
        List<CertificateContact> contacts = List.of(new CertificateContact().setEmail("b@example.com"), new CertificateContact().setEmail("c@example.com"));
        Every.check(Every.all(client.setContacts(contacts, context)).size() == 2, "contacts");
        Every.check(Every.all(client.listContacts(context)).get(1).getEmail().equals("c@example.com"), "contacts");
        Every.check(Every.all(client.deleteContacts(context)).size() == 2, "contacts");
        CertificateIssuer issuer = got(200, client.createIssuerWithResponse(new CertificateIssuer("whole", "Test"), context));
        Every.check(got(200, client.getIssuerWithResponse("whole", context)).getProvider().equals("Test"), "issuer");
        Every.check(!got(200, client.updateIssuerWithResponse(issuer.setEnabled(false), context)).isEnabled(), "issuer");
        Every.check(Every.all(client.listPropertiesOfIssuers(context)).size() == 1, "issuers");
        Every.check(got(200, client.deleteIssuerWithResponse("whole", context)).getName().equals("whole"), "issuer");
    }
}
