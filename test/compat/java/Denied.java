import com.azure.core.exception.HttpResponseException;
import com.azure.security.keyvault.certificates.CertificateClient;
import com.azure.security.keyvault.certificates.CertificateClientBuilder;
import com.azure.security.keyvault.certificates.models.CertificatePolicy;

/** A missing permission is the client's 403. */
public class Denied {
    public static void main(String[] args) throws Exception {
        CertificateClient client = new CertificateClientBuilder().vaultUrl(Every.URL).credential(Every.CREDENTIAL).buildClient();
        Every.done(client.beginCreateCertificate("web-java", CertificatePolicy.getDefault()));
        client.beginDeleteCertificate("web-java").setPollInterval(Every.FAST).waitForCompletion();
        HttpResponseException e = Every.fails(HttpResponseException.class, () -> client.purgeDeletedCertificate("web-java"));
        Every.check(e.getResponse().getStatusCode() == 403, e);
        Every.check(String.valueOf(e.getValue()).contains("ForbiddenByPolicy") || e.getMessage().contains("ForbiddenByPolicy"), e);
        Every.check(e.getClass() == HttpResponseException.class, e.getClass());
        System.out.println("denied done");
        System.exit(0);
    }
}
