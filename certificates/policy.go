package certificates

import (
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
)

// DefaultPolicy is the policy for a self-signed certificate of subject CN=DefaultPolicy, the same that Python's
// CertificatePolicy.get_default() makes. All that it leaves out is filled in by the service: an exportable RSA key of 2048
// bits, valid for 12 months, kept as PKCS#12. Every call makes a policy of its own, free to be changed.
func DefaultPolicy() azcertificates.CertificatePolicy {
	return azcertificates.CertificatePolicy{
		IssuerParameters:          &azcertificates.IssuerParameters{Name: to.Ptr("Self")},
		X509CertificateProperties: &azcertificates.X509CertificateProperties{Subject: to.Ptr("CN=DefaultPolicy")},
	}
}
