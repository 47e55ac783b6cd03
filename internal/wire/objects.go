package wire

// SecretBundle is one version of a secret. The value is in the answers to set and get
// only.
type SecretBundle struct {
	Value       *string            `json:"value,omitempty"`
	ContentType *string            `json:"contentType,omitempty"`
	ID          string             `json:"id"`
	Managed     bool               `json:"managed,omitempty"`
	Attributes  Attributes         `json:"attributes"`
	Tags        *map[string]string `json:"tags,omitempty"`
	KeyID       string             `json:"kid,omitempty"` // of a certificate's secret
	// PreviousVersion is the id of the version before, of a certificate's secret.
	PreviousVersion string `json:"previousVersion,omitempty"`
}

// DeletedSecretBundle is a secret in the deleted state, and a row of the list of them.
type DeletedSecretBundle struct {
	RecoveryID         string `json:"recoveryId"`
	DeletedDate        int64  `json:"deletedDate"`
	ScheduledPurgeDate int64  `json:"scheduledPurgeDate"`
	SecretBundle
}

// SetSecret is the body of a request to set a secret.
type SetSecret struct {
	Value       *string            `json:"value"`
	ContentType *string            `json:"contentType"`
	Attributes  *AttributesInput   `json:"attributes"`
	Tags        *map[string]string `json:"tags"`
}

// UpdateSecret is the body of a PATCH of a secret.
type UpdateSecret struct {
	ContentType *string            `json:"contentType"`
	Attributes  *AttributesInput   `json:"attributes"`
	Tags        *map[string]string `json:"tags"`
}

// KeyAttributes are those of a key.
type KeyAttributes struct {
	Attributes
	Exportable  *bool  `json:"exportable,omitempty"`
	HSMPlatform string `json:"hsmPlatform,omitempty"` // from 7.5-preview.1 on
}

// KeyBundle is the public part of one version of a key. Key is a jwk.Key.
type KeyBundle struct {
	Key           any                `json:"key"`
	Attributes    KeyAttributes      `json:"attributes"`
	Tags          *map[string]string `json:"tags,omitempty"`
	Managed       bool               `json:"managed,omitempty"`
	ReleasePolicy *ReleasePolicy     `json:"release_policy,omitempty"`
}

// DeletedKeyBundle is a key in the deleted state.
type DeletedKeyBundle struct {
	RecoveryID         string `json:"recoveryId"`
	DeletedDate        int64  `json:"deletedDate"`
	ScheduledPurgeDate int64  `json:"scheduledPurgeDate"`
	KeyBundle
}

// KeyItem is a row of the lists of keys and of versions.
type KeyItem struct {
	KeyID      string             `json:"kid"`
	Attributes KeyAttributes      `json:"attributes"`
	Tags       *map[string]string `json:"tags,omitempty"`
	Managed    bool               `json:"managed,omitempty"`
}

// DeletedKeyItem is a row of the list of deleted keys.
type DeletedKeyItem struct {
	RecoveryID         string `json:"recoveryId"`
	DeletedDate        int64  `json:"deletedDate"`
	ScheduledPurgeDate int64  `json:"scheduledPurgeDate"`
	KeyItem
}

// A ReleasePolicy says to whom a key may be released.
type ReleasePolicy struct {
	ContentType string `json:"contentType,omitempty"`
	Data        string `json:"data,omitempty"` // base64url of a JSON document
	Immutable   bool   `json:"immutable"`
}

// KeyAttributesInput is what a request may say of a key's attributes.
type KeyAttributesInput struct {
	AttributesInput
	Exportable *bool `json:"exportable"`
}

// CreateKey is the body of a request to create a key.
type CreateKey struct {
	Kty            *string             `json:"kty"`
	KeySize        *int                `json:"key_size"`
	PublicExponent *int                `json:"public_exponent"`
	KeyOps         *[]string           `json:"key_ops"`
	Attributes     *KeyAttributesInput `json:"attributes"`
	Tags           *map[string]string  `json:"tags"`
	Curve          *string             `json:"crv"`
	ReleasePolicy  *ReleasePolicy      `json:"release_policy"`
}

// ImportKey is the body of a request to import a key.
type ImportKey struct {
	HSM           *bool               `json:"Hsm"`
	Key           *PrivateKey         `json:"key"`
	Attributes    *KeyAttributesInput `json:"attributes"`
	Tags          *map[string]string  `json:"tags"`
	ReleasePolicy *ReleasePolicy      `json:"release_policy"`
}

// A PrivateKey is a JSON Web Key with its private members; it is in requests only.
type PrivateKey struct {
	Kty    string    `json:"kty"`
	KeyOps *[]string `json:"key_ops"`
	N      string    `json:"n"`
	E      string    `json:"e"`
	D      string    `json:"d"`
	P      string    `json:"p"`
	Q      string    `json:"q"`
	DP     string    `json:"dp"`
	DQ     string    `json:"dq"`
	QI     string    `json:"qi"`
	Curve  string    `json:"crv"`
	X      string    `json:"x"`
	Y      string    `json:"y"`
	K      string    `json:"k"`
	KeyHSM string    `json:"key_hsm"` // a transfer blob
}

// UpdateKey is the body of a PATCH of a key.
type UpdateKey struct {
	KeyOps        *[]string           `json:"key_ops"`
	Attributes    *KeyAttributesInput `json:"attributes"`
	Tags          *map[string]string  `json:"tags"`
	ReleasePolicy *ReleasePolicy      `json:"release_policy"`
}

// KeyOperation is the body of every cryptographic operation. Octets are base64url.
type KeyOperation struct {
	Algorithm *string `json:"alg"`
	Value     *string `json:"value"`
	Digest    *string `json:"digest"`
	IV        *string `json:"iv"`
	AAD       *string `json:"aad"`
	Tag       *string `json:"tag"`
}

// KeyOperationResult is what came of it. Only symmetric keys have the members from alg
// on.
type KeyOperationResult struct {
	KeyID     string `json:"kid"`
	Value     string `json:"value"`
	Algorithm string `json:"alg,omitempty"`
	IV        string `json:"iv,omitempty"`
	Tag       string `json:"tag,omitempty"`
	AAD       string `json:"aad,omitempty"`
}

// VerifyResult is the answer to verify.
type VerifyResult struct {
	Value bool `json:"value"`
}

// RotationPolicy is when new versions of a key are made. Attributes are null when it was
// never set (recorded).
type RotationPolicy struct {
	ID              string              `json:"id,omitempty"`
	LifetimeActions *[]RotationAction   `json:"lifetimeActions"`
	Attributes      *RotationAttributes `json:"attributes"`
}

// RotationAttributes are those of a rotation policy.
type RotationAttributes struct {
	ExpiryTime *string `json:"expiryTime,omitempty"` // ISO 8601
	Created    int64   `json:"created,omitempty"`
	Updated    int64   `json:"updated,omitempty"`
}

// A RotationAction is what to do, and when.
type RotationAction struct {
	Trigger *RotationTrigger `json:"trigger,omitempty"`
	Action  *RotationType    `json:"action,omitempty"`
}

// A RotationTrigger has one of its members, an ISO 8601 duration.
type RotationTrigger struct {
	TimeAfterCreate  *string `json:"timeAfterCreate,omitempty"`
	TimeBeforeExpiry *string `json:"timeBeforeExpiry,omitempty"`
}

// A RotationType is Rotate or Notify.
type RotationType struct {
	Type *string `json:"type,omitempty"`
}

// ReleaseKey is the body of a request to release a key.
type ReleaseKey struct {
	Target string `json:"target"`
	Nonce  string `json:"nonce"`
	Enc    string `json:"enc"` // how the private part is wrapped
}

// ReleaseResult is the answer: a compact JWS, whose payload is a ReleasedKey.
type ReleaseResult struct {
	Value string `json:"value"`
}

// A ReleasedKey is the payload of a release (recorded).
type ReleasedKey struct {
	Request  ReleaseRequest  `json:"request"`
	Response ReleaseResponse `json:"response"`
}

// ReleaseRequest repeats what was asked.
type ReleaseRequest struct {
	Version string `json:"api-version"`
	Enc     string `json:"enc"`
	KeyID   string `json:"kid"`
	Nonce   string `json:"nonce,omitempty"`
}

// ReleaseResponse holds the key: a KeyBundle whose JWK has the member key_hsm, the
// private part wrapped for the environment.
type ReleaseResponse struct {
	Key KeyBundle `json:"key"`
}
