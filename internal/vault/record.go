package vault

import (
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"coffer/internal/access"
)

// This file has what is sealed, and nothing else. A struct here is changed only by
// adding members with new numbers, or under a new recordFormat.

// recordFormat is the version of the structs below.
const recordFormat = 1

// The states of an object's head.
const (
	stateLive    = "live"
	stateDeleted = "deleted" // may be recovered until it is purged
	statePurging = "purging" // what is left is being removed; the name is still taken
)

// A header is what the heads of certificates, keys and secrets share.
type header struct {
	Name     string `cbor:"1,keyasint"` // as it was created
	State    string `cbor:"2,keyasint"`
	Sequence uint64 `cbor:"3,keyasint"` // of the current version; the highest there is
	Deleted  int64  `cbor:"4,keyasint"` // Unix seconds; zero while live
	PurgeAt  int64  `cbor:"5,keyasint"`
	Managed  bool   `cbor:"6,keyasint"` // belongs to the certificate of its name
	Change   string `cbor:"7,keyasint"` // id of the last change of state: a rerun finds its own work by it

	object string // the object instance id, from the seal; not sealed twice
}

// base lets any head be handled as its header.
func (h *header) base() *header { return h }

// A headed record is the head of a certificate, key or secret.
type headed interface{ base() *header }

// versionRecord is what the versions of certificates, keys and secrets share. Times
// are Unix seconds.
type versionRecord struct {
	ID        string            `cbor:"1,keyasint"`
	Sequence  uint64            `cbor:"2,keyasint"`
	Enabled   bool              `cbor:"3,keyasint"`
	NotBefore int64             `cbor:"4,keyasint"`
	Expires   int64             `cbor:"5,keyasint"`
	Created   int64             `cbor:"6,keyasint"`
	Updated   int64             `cbor:"7,keyasint"`
	Tags      map[string]string `cbor:"8,keyasint"` // nil when none were ever supplied
}

type certificateVersion struct {
	versionRecord
	CER      []byte `cbor:"20,keyasint"` // DER of the leaf; empty while it was never issued
	Preserve *bool  `cbor:"21,keyasint"` // preserveCertOrder, if supplied
}

type certificateHead struct {
	header
	Current certificateVersion `cbor:"20,keyasint"`
	Policy  policyRecord       `cbor:"21,keyasint"`
	Pending bool               `cbor:"22,keyasint"` // there is an operation record
}

type keyVersion struct {
	versionRecord
	PKCS8 []byte   `cbor:"20,keyasint"` // the private key
	Ops   []string `cbor:"21,keyasint"` // key_ops
	SPKI  []byte   `cbor:"22,keyasint"` // the public key, DER
	HSM   bool     `cbor:"23,keyasint"` // of a kind with the suffix -HSM
	K     []byte   `cbor:"24,keyasint"` // a symmetric key; then there is no pair

	Exportable bool           `cbor:"25,keyasint"`
	Release    *releaseRecord `cbor:"26,keyasint"` // nil when there is none
}

// releaseRecord is a release policy.
type releaseRecord struct {
	ContentType string `cbor:"1,keyasint"`
	Data        []byte `cbor:"2,keyasint"` // JSON
	Immutable   bool   `cbor:"3,keyasint"`
}

// releaseSignerRecord is what signs the keys that are released from a vault.
type releaseSignerRecord struct {
	PKCS8       []byte `cbor:"1,keyasint"`
	Certificate []byte `cbor:"2,keyasint"` // DER
}

type keyHead struct {
	header
	Current  keyVersion      `cbor:"20,keyasint"`
	Rotation *rotationRecord `cbor:"21,keyasint"` // nil when it was never set
}

// rotationRecord is a rotation policy.
type rotationRecord struct {
	Actions []rotationAction `cbor:"1,keyasint"`
	Expiry  string           `cbor:"2,keyasint"`
	Created int64            `cbor:"3,keyasint"`
	Updated int64            `cbor:"4,keyasint"`
}

type rotationAction struct {
	Type         string `cbor:"1,keyasint"`
	AfterCreate  string `cbor:"2,keyasint"`
	BeforeExpiry string `cbor:"3,keyasint"`
}

type secretVersion struct {
	versionRecord
	Value       string `cbor:"20,keyasint"`
	ContentType string `cbor:"21,keyasint"`
	Previous    string `cbor:"22,keyasint,omitempty"` // id of the version before it, of a certificate's secret
}

type secretHead struct {
	header
	Current secretVersion `cbor:"20,keyasint"`
}

// The states of an operation, spelled as on the wire.
const (
	statusInProgress = "inProgress"
	statusCompleted  = "completed"
	statusFailed     = "failed"
	statusCancelled  = "cancelled"
)

type operationRecord struct {
	RequestID   string            `cbor:"1,keyasint"`
	Version     string            `cbor:"2,keyasint"` // the id that the issued version will have
	Status      string            `cbor:"3,keyasint"`
	CSR         []byte            `cbor:"4,keyasint"` // DER
	PKCS8       []byte            `cbor:"5,keyasint"` // the private key, until there is a certificate
	Policy      policyRecord      `cbor:"6,keyasint"` // as it was when the operation began
	Enabled     bool              `cbor:"7,keyasint"`
	Tags        map[string]string `cbor:"8,keyasint"`
	Preserve    *bool             `cbor:"9,keyasint"`
	Created     int64             `cbor:"10,keyasint"` // Unix seconds
	IssuerState []byte            `cbor:"11,keyasint"` // what the issuer wants to see again
	ErrorCode   string            `cbor:"12,keyasint"`
	ErrorText   string            `cbor:"13,keyasint"`
	Cancel      bool              `cbor:"14,keyasint"` // cancellation was requested
}

type policyRecord struct {
	Exportable     bool             `cbor:"1,keyasint"`
	Kty            string           `cbor:"2,keyasint"`
	KeySize        int              `cbor:"3,keyasint"`
	Curve          string           `cbor:"4,keyasint"`
	ReuseKey       bool             `cbor:"5,keyasint"`
	ContentType    string           `cbor:"6,keyasint"`
	Subject        string           `cbor:"7,keyasint"`
	SANs           *sansRecord      `cbor:"8,keyasint"`
	EKUs           []string         `cbor:"9,keyasint"`
	KeyUsage       []string         `cbor:"10,keyasint"`
	ValidityMonths int              `cbor:"11,keyasint"`
	CA             bool             `cbor:"12,keyasint"`
	Actions        []lifetimeRecord `cbor:"13,keyasint"`
	Issuer         string           `cbor:"14,keyasint"` // as typed
	IssuerType     *string          `cbor:"15,keyasint"`
	Transparency   *bool            `cbor:"16,keyasint"`
	Enabled        bool             `cbor:"17,keyasint"`
	Created        int64            `cbor:"18,keyasint"`
	Updated        int64            `cbor:"19,keyasint"`
	HSM            bool             `cbor:"20,keyasint"` // the key is of a kind with the suffix -HSM
}

// sansRecord tells an absent list (nil) from an empty one.
type sansRecord struct {
	Emails      []string `cbor:"1,keyasint"`
	DNSNames    []string `cbor:"2,keyasint"`
	UPNs        []string `cbor:"3,keyasint"`
	URIs        []string `cbor:"4,keyasint"`
	IPAddresses []string `cbor:"5,keyasint"`
}

type lifetimeRecord struct {
	Percentage int    `cbor:"1,keyasint"` // or zero
	Days       int    `cbor:"2,keyasint"` // or zero
	Action     string `cbor:"3,keyasint"`
}

type vaultRecord struct {
	Name            string          `cbor:"1,keyasint"` // as it was created
	Location        string          `cbor:"2,keyasint"`
	TenantID        string          `cbor:"3,keyasint"`
	RetentionDays   int             `cbor:"4,keyasint"` // 7 to 90
	PurgeProtection bool            `cbor:"5,keyasint"`
	Policies        []policyOfVault `cbor:"6,keyasint"`
	Created         int64           `cbor:"7,keyasint"`
	Premium         bool            `cbor:"8,keyasint"` // takes keys of the kinds with the suffix -HSM

	// As a resource of the control plane.
	Group              string            `cbor:"9,keyasint,omitempty"` // empty: defaultGroup
	Tags               map[string]string `cbor:"10,keyasint,omitempty"`
	RBAC               *bool             `cbor:"11,keyasint,omitempty"` // nil: never said
	Deployment         bool              `cbor:"12,keyasint,omitempty"` // enabledFor…, kept and without effect
	DiskEncryption     *bool             `cbor:"13,keyasint,omitempty"`
	TemplateDeployment *bool             `cbor:"14,keyasint,omitempty"`
	Network            *networkRecord    `cbor:"15,keyasint,omitempty"` // nil: the default, which lets everybody in
	NoPublicAccess     bool              `cbor:"16,keyasint,omitempty"`
	CreatedBy          string            `cbor:"17,keyasint,omitempty"` // of the principal: appid or name
	CreatedByType      string            `cbor:"18,keyasint,omitempty"`
	ModifiedBy         string            `cbor:"19,keyasint,omitempty"`
	ModifiedByType     string            `cbor:"20,keyasint,omitempty"`
	Modified           int64             `cbor:"21,keyasint,omitempty"` // Unix seconds
	State              string            `cbor:"22,keyasint,omitempty"` // empty: live
	Deleted            int64             `cbor:"23,keyasint,omitempty"` // Unix seconds
	PurgeAt            int64             `cbor:"24,keyasint,omitempty"`
	FirstTouch         bool              `cbor:"25,keyasint,omitempty"` // came into being by being used
}

// networkRecord are the network rules of a vault, in the words of the control plane.
type networkRecord struct {
	Bypass        string   `cbor:"1,keyasint"`
	DefaultAction string   `cbor:"2,keyasint"`
	IPRules       []string `cbor:"3,keyasint"`
	Subnets       []string `cbor:"4,keyasint"` // ids of virtual network rules; without effect
}

// groupRecord is a resource group.
type groupRecord struct {
	Name     string            `cbor:"1,keyasint"` // as it was created
	Location string            `cbor:"2,keyasint"`
	Tags     map[string]string `cbor:"3,keyasint"`
	State    string            `cbor:"4,keyasint"` // empty: live; else stateDeleted while its vaults are being deleted
}

// operationToken is what the address of a long operation holds.
type operationToken struct {
	Kind     string `cbor:"1,keyasint"` // kindGroup or kindVault
	Name     string `cbor:"2,keyasint"`
	Instance string `cbor:"3,keyasint"`
	Began    int64  `cbor:"4,keyasint"` // Unix seconds
}

// contactsRecord is who is to be told of a vault's certificates.
type contactsRecord struct {
	Contacts []contactRecord `cbor:"1,keyasint"`
}

// contactRecord tells a member that was not sent (nil) from an empty one.
type contactRecord struct {
	Email *string `cbor:"1,keyasint"`
	Name  *string `cbor:"2,keyasint"`
	Phone *string `cbor:"3,keyasint"`
}

// issuerRecord is an issuer object of a vault, credentials included.
type issuerRecord struct {
	Name         string              `cbor:"1,keyasint"` // as it was created
	Provider     string              `cbor:"2,keyasint"`
	HasAccount   bool                `cbor:"3,keyasint"` // credentials were sent
	AccountID    *string             `cbor:"4,keyasint"`
	Password     *string             `cbor:"5,keyasint"`
	Organization *organizationRecord `cbor:"6,keyasint"`
	Enabled      bool                `cbor:"7,keyasint"`
	Created      int64               `cbor:"8,keyasint"`
	Updated      int64               `cbor:"9,keyasint"`
}

type organizationRecord struct {
	ID     *string       `cbor:"1,keyasint"`
	Admins []adminRecord `cbor:"2,keyasint"` // nil when not sent
}

type adminRecord struct {
	FirstName *string `cbor:"1,keyasint"`
	LastName  *string `cbor:"2,keyasint"`
	Email     *string `cbor:"3,keyasint"`
	Phone     *string `cbor:"4,keyasint"`
}

// backupRecord is what a backup blob holds: everything of one certificate.
type backupRecord struct {
	Certificate certificateHead  `cbor:"1,keyasint"`
	Key         *keyHead         `cbor:"2,keyasint"` // nil when it was never issued
	Secret      *secretHead      `cbor:"3,keyasint"`
	Older       []versionBackup  `cbor:"4,keyasint"`
	Operation   *operationRecord `cbor:"5,keyasint"`
}

// versionBackup is one older version of all three.
type versionBackup struct {
	Certificate certificateVersion `cbor:"1,keyasint"`
	Key         keyVersion         `cbor:"2,keyasint"`
	Secret      secretVersion      `cbor:"3,keyasint"`
}

// policyOfVault is an access policy.
type policyOfVault struct {
	TenantID      string   `cbor:"1,keyasint"`
	ObjectID      string   `cbor:"2,keyasint"`
	ApplicationID string   `cbor:"3,keyasint"`
	Certificates  []string `cbor:"4,keyasint"`
	Keys          []string `cbor:"5,keyasint"`
	Secrets       []string `cbor:"6,keyasint"`
	Storage       []string `cbor:"7,keyasint,omitempty"`
}

func (r vaultRecord) policies() (out []access.Policy) {
	for _, p := range r.Policies {
		out = append(out, access.Policy(p))
	}
	return out
}

// encode and decode are the only ways into and out of a sealed body.
func encode(v any) ([]byte, error) {
	body, err := cbor.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("vault: encoding %T: %w", v, err)
	}
	return body, nil
}

func decode(body []byte, format int, v any) error {
	if format != recordFormat {
		return fmt.Errorf("vault: a record has format %d; this version of Coffer reads %d", format, recordFormat)
	}
	if err := cbor.Unmarshal(body, v); err != nil {
		return fmt.Errorf("vault: decoding %T: %w", v, err)
	}
	return nil
}

// unix and moment convert between the clock and records; a record has whole seconds.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

func moment(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
