// Package wire holds the JSON types of the data plane: what a client sends and what
// it gets, and nothing else. The order of the members is the order in which the
// service writes them (recorded). Wire types never go below the doors; a door
// converts them member by member.
//
// A pointer, or omitempty, means that the member is absent when it was not supplied;
// times are Unix seconds; ids are absolute URLs on the host that the client used.
package wire

// An Error is the body of every answer from 400 on.
type Error struct {
	Error ErrorDetail `json:"error"`
}

// An ErrorDetail says what went wrong. Clients branch on Code.
type ErrorDetail struct {
	Code       string      `json:"code"`
	Message    string      `json:"message"`
	InnerError *InnerError `json:"innererror,omitempty"`
}

// An InnerError narrows the code down.
type InnerError struct {
	Code string `json:"code"`
}

// Attributes are those of a certificate, key, secret or policy.
type Attributes struct {
	Enabled         bool   `json:"enabled"`
	NotBefore       *int64 `json:"nbf,omitempty"`
	Expires         *int64 `json:"exp,omitempty"`
	Created         int64  `json:"created"`
	Updated         int64  `json:"updated"`
	RecoveryLevel   string `json:"recoveryLevel,omitempty"`
	RecoverableDays *int   `json:"recoverableDays,omitempty"`
}

// CertificateBundle is one version of a certificate.
type CertificateBundle struct {
	ID         string             `json:"id"`
	KeyID      string             `json:"kid,omitempty"`
	SecretID   string             `json:"sid,omitempty"`
	Thumbprint string             `json:"x5t,omitempty"`
	CER        []byte             `json:"cer,omitempty"` // DER; base64 on the wire
	Attributes Attributes         `json:"attributes"`
	Tags       *map[string]string `json:"tags,omitempty"` // {} when emptied
	Policy     *CertificatePolicy `json:"policy,omitempty"`
	Pending    *PendingID         `json:"pending,omitempty"`

	PreserveCertOrder *bool `json:"preserveCertOrder,omitempty"`
}

// A PendingID points at the operation of a certificate.
type PendingID struct {
	ID string `json:"id"`
}

// DeletedCertificateBundle is a certificate in the deleted state.
type DeletedCertificateBundle struct {
	RecoveryID         string `json:"recoveryId"`
	DeletedDate        int64  `json:"deletedDate"`
	ScheduledPurgeDate int64  `json:"scheduledPurgeDate"`
	CertificateBundle
}

// CertificateItem is a row of the lists of certificates and of versions. The subject
// is always empty (recorded).
type CertificateItem struct {
	ID         string             `json:"id"`
	Thumbprint string             `json:"x5t,omitempty"`
	Attributes Attributes         `json:"attributes"`
	Tags       *map[string]string `json:"tags,omitempty"`
	Subject    string             `json:"subject"`
}

// DeletedCertificateItem is a row of the list of deleted certificates.
type DeletedCertificateItem struct {
	RecoveryID         string             `json:"recoveryId"`
	DeletedDate        int64              `json:"deletedDate"`
	ScheduledPurgeDate int64              `json:"scheduledPurgeDate"`
	ID                 string             `json:"id"`
	Thumbprint         string             `json:"x5t,omitempty"`
	Attributes         Attributes         `json:"attributes"`
	Tags               *map[string]string `json:"tags,omitempty"`
}

// A List is one page. Both members are always there; NextLink is null on the last.
type List[Item any] struct {
	Value    []Item  `json:"value"`
	NextLink *string `json:"nextLink"`
}

// CertificatePolicy is how versions of a certificate are made.
type CertificatePolicy struct {
	ID              string            `json:"id,omitempty"`
	KeyProperties   *KeyProperties    `json:"key_props,omitempty"`
	SecretProps     *SecretProperties `json:"secret_props,omitempty"`
	X509Props       *X509Properties   `json:"x509_props,omitempty"`
	LifetimeActions *[]LifetimeAction `json:"lifetime_actions,omitempty"`
	Issuer          *IssuerParameters `json:"issuer,omitempty"`
	Attributes      *PolicyAttributes `json:"attributes,omitempty"`
}

// PolicyAttributes are the attributes of a policy: no times of validity, ever.
type PolicyAttributes struct {
	Enabled *bool `json:"enabled,omitempty"`
	Created int64 `json:"created,omitempty"`
	Updated int64 `json:"updated,omitempty"`
}

// KeyProperties describe the key pair. Sizes are bits.
type KeyProperties struct {
	Exportable *bool   `json:"exportable,omitempty"`
	KeyType    *string `json:"kty,omitempty"`
	KeySize    *int    `json:"key_size,omitempty"`
	ReuseKey   *bool   `json:"reuse_key,omitempty"`
	Curve      *string `json:"crv,omitempty"`
}

// SecretProperties describe the secret behind a certificate.
type SecretProperties struct {
	ContentType *string `json:"contentType,omitempty"`
}

// X509Properties describe the certificate itself.
type X509Properties struct {
	Subject          *string           `json:"subject,omitempty"`
	SANs             *SANs             `json:"sans,omitempty"`
	EKUs             *[]string         `json:"ekus,omitempty"`
	KeyUsage         *[]string         `json:"key_usage,omitempty"`
	ValidityMonths   *int              `json:"validity_months,omitempty"`
	BasicConstraints *BasicConstraints `json:"basic_constraints,omitempty"`
}

// SANs are the subject alternative names, by kind.
type SANs struct {
	Emails      *[]string `json:"emails,omitempty"`
	DNSNames    *[]string `json:"dns_names,omitempty"`
	UPNs        *[]string `json:"upns,omitempty"`
	URIs        *[]string `json:"uris,omitempty"`
	IPAddresses *[]string `json:"ipAddresses,omitempty"`
}

// BasicConstraints are of the output only.
type BasicConstraints struct {
	CA bool `json:"ca"`
}

// A LifetimeAction is what to do, and when.
type LifetimeAction struct {
	Trigger *Trigger `json:"trigger,omitempty"`
	Action  *Action  `json:"action,omitempty"`
}

// A Trigger has exactly one of its members.
type Trigger struct {
	LifetimePercentage *int `json:"lifetime_percentage,omitempty"`
	DaysBeforeExpiry   *int `json:"days_before_expiry,omitempty"`
}

// An Action is AutoRenew or EmailContacts.
type Action struct {
	ActionType *string `json:"action_type,omitempty"`
}

// IssuerParameters name the issuer.
type IssuerParameters struct {
	Name             *string `json:"name,omitempty"`
	CertificateType  *string `json:"cty,omitempty"`
	CertTransparency *bool   `json:"cert_transparency,omitempty"`
}

// CreateCertificate is the body of a create request.
type CreateCertificate struct {
	Policy            *CertificatePolicy `json:"policy"`
	Attributes        *AttributesInput   `json:"attributes"`
	Tags              *map[string]string `json:"tags"`
	PreserveCertOrder *bool              `json:"preserveCertOrder"`
}

// ImportCertificate is the body of an import request.
type ImportCertificate struct {
	Value             string             `json:"value"` // PKCS#12 in base64, or PEM
	Password          string             `json:"pwd"`
	Policy            *CertificatePolicy `json:"policy"`
	Attributes        *AttributesInput   `json:"attributes"`
	Tags              *map[string]string `json:"tags"`
	PreserveCertOrder *bool              `json:"preserveCertOrder"`
}

// UpdateCertificate is the body of a PATCH of a certificate.
type UpdateCertificate struct {
	Policy     *CertificatePolicy `json:"policy"`
	Attributes *AttributesInput   `json:"attributes"`
	Tags       *map[string]string `json:"tags"`
}

// MergeCertificate is the body of a merge. The certificates are texts, because what is
// wrong with them is looked at after the operation was found.
type MergeCertificate struct {
	X5C        []string           `json:"x5c"` // base64 of DER
	Attributes *AttributesInput   `json:"attributes"`
	Tags       *map[string]string `json:"tags"`
}

// UpdateOperation is the body of a PATCH of an operation.
type UpdateOperation struct {
	CancellationRequested *bool `json:"cancellation_requested"`
}

// A Backup carries a backup blob, both ways.
type Backup struct {
	Value string `json:"value"` // base64url without padding
}

// Contacts are those of a vault. A request has no id.
type Contacts struct {
	ID       string     `json:"id,omitempty"`
	Contacts *[]Contact `json:"contacts"`
}

// A Contact has what was sent of it.
type Contact struct {
	Email *string `json:"email,omitempty"`
	Name  *string `json:"name,omitempty"`
	Phone *string `json:"phone,omitempty"`
}

// IssuerBundle is an issuer object.
type IssuerBundle struct {
	ID           string               `json:"id"`
	Provider     string               `json:"provider"`
	Credentials  *IssuerCredentials   `json:"credentials,omitempty"`
	Organization *OrganizationDetails `json:"org_details,omitempty"`
	Attributes   IssuerAttributes     `json:"attributes"`
}

// IssuerCredentials never have a password on the way out.
type IssuerCredentials struct {
	AccountID *string `json:"account_id,omitempty"`
	Password  *string `json:"pwd,omitempty"`
}

// OrganizationDetails have a zip that is always 0 (recorded).
type OrganizationDetails struct {
	ID           *string        `json:"id,omitempty"`
	Zip          int            `json:"zip"`
	AdminDetails *[]AdminDetail `json:"admin_details,omitempty"`
}

// An AdminDetail has what was sent of it.
type AdminDetail struct {
	FirstName *string `json:"first_name,omitempty"`
	LastName  *string `json:"last_name,omitempty"`
	Email     *string `json:"email,omitempty"`
	Phone     *string `json:"phone,omitempty"`
}

// IssuerAttributes are those of an issuer object.
type IssuerAttributes struct {
	Enabled bool  `json:"enabled"`
	Created int64 `json:"created"`
	Updated int64 `json:"updated"`
}

// SetIssuer is the body of a PUT and of a PATCH of an issuer object.
type SetIssuer struct {
	Provider     *string            `json:"provider"`
	Credentials  *IssuerCredentials `json:"credentials"`
	Organization *struct {
		ID           *string        `json:"id"`
		AdminDetails *[]AdminDetail `json:"admin_details"`
	} `json:"org_details"`
	Attributes *AttributesInput `json:"attributes"`
}

// IssuerItem is a row of the list of issuer objects.
type IssuerItem struct {
	ID       string `json:"id"`
	Provider string `json:"provider"`
}

// AttributesInput is what a request may say of attributes. Only Enabled has an
// effect; the times are checked for their type and then ignored (recorded).
type AttributesInput struct {
	Enabled   *bool  `json:"enabled"`
	NotBefore *int64 `json:"nbf"`
	Expires   *int64 `json:"exp"`
}

// CertificateOperation is the issuance under way or ended.
type CertificateOperation struct {
	ID                    string             `json:"id"`
	Issuer                OperationIssuer    `json:"issuer"`
	CSR                   []byte             `json:"csr"`
	CancellationRequested bool               `json:"cancellation_requested"`
	Status                string             `json:"status"`
	StatusDetails         string             `json:"status_details,omitempty"`
	PreserveCertOrder     *bool              `json:"preserveCertOrder,omitempty"`
	Target                string             `json:"target,omitempty"`
	Error                 *OperationErrorOut `json:"error,omitempty"`
	RequestID             string             `json:"request_id"`
}

// OperationIssuer repeats of the issuer only the name (recorded).
type OperationIssuer struct {
	Name string `json:"name"`
}

// OperationErrorOut is why an operation failed.
type OperationErrorOut struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}
