package tenant

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// An Identity is somebody whom an outside issuer knows, and who is the user here: by access
// tokens of the issuer, see outside.go.
type Identity struct {
	Issuer string // claim iss, exactly
	ID     string // the claim by which the issuer identifies its users, exactly
}

type identityRecord struct {
	Issuer string `json:"issuer"`
	ID     string `json:"id"`
}

// The bounds of identities.
const (
	maxIdentities   = 10
	maxIdentityText = 600 // characters, as of federated credentials
)

// editIdentities replaces the identities of a user, unless to is nil. New ones are of issuers
// that the configuration names, and of nobody else here.
func (s *Service) editIdentities(d *directory, r *userRecord, to *[]Identity) error {
	if to == nil {
		return nil
	}
	if len(*to) > maxIdentities {
		return badObject("A user has at most %d federated identities.", maxIdentities)
	}
	made := []identityRecord{}
	for _, i := range *to {
		record := identityRecord(i)
		switch kept := slices.Contains(r.Identities, record); {
		case slices.Contains(made, record):
			return objectConflict("Another object with the same value for property identities already exists.")
		case kept: // whatever the configuration says by now
		case record.ID == "" || len(record.ID) > maxIdentityText || !utf8.ValidString(record.ID) || strings.ContainsRune(record.ID, 0):
			return badObject("Invalid value specified for property 'issuerAssignedId' of resource 'ObjectIdentity': it has 1 to %d characters.", maxIdentityText)
		case !s.isBearer(record.Issuer):
			return badObject("The issuer '%s' of an identity is none whose access tokens are taken here: the configuration names them, as bearer_issuers.", clip(record.Issuer))
		case d.bound(record, r.ObjectID):
			return objectConflict("Another object with the same value for property identities already exists.")
		}
		made = append(made, record)
	}
	r.Identities = made
	return nil
}

// bound reports whether tokens with an identity mean somebody but the user already. Of an
// application the subject counts: which claim an issuer identifies users by can change.
func (d *directory) bound(i identityRecord, user string) bool {
	return slices.ContainsFunc(d.users, func(u kept[userRecord]) bool {
		return u.value.ObjectID != user && slices.Contains(u.value.Identities, i)
	}) || slices.ContainsFunc(d.applications, func(a kept[applicationRecord]) bool {
		return slices.ContainsFunc(a.value.Federated, func(f federatedRecord) bool { return f.Bearer && f.Issuer == i.Issuer && f.Subject == i.ID })
	})
}
