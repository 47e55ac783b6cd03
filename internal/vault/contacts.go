package vault

import (
	"context"
	"fmt"
	"unicode/utf8"

	"coffer/internal/access"
	"coffer/internal/seal"
)

// A Contact is somebody to be told of a vault's certificates. What was not sent is nil.
type Contact struct{ Email, Name, Phone *string }

// The bounds of a vault's contacts.
const (
	maxContacts    = 100
	maxContactText = 512 // characters of a member
)

var errContactsNotFound = &Error{Code: CodeContactsNotFound, Message: "Contacts not found"}

// contactsRef is where the contacts of a vault are: one record without a name.
func contactsRef(vault string) Ref { return Ref{Vault: vault} }

func contactsPlace(v *vaultState) seal.Place {
	return v.place(kindContacts, Ref{}, v.Instance, "")
}

// GetCertificateContacts returns the contacts in the order in which they were set.
func (s *Service) GetCertificateContacts(ctx context.Context, caller access.Caller, vault string) ([]Contact, error) {
	ref := contactsRef(vault)
	f, err := s.find(ctx, caller, vault, ref.key(kindContacts))
	if err != nil {
		return nil, err
	}
	var out []Contact
	err = s.Gate.Read(ctx, s.request(f, CertificateContactsGet, "certificates/contacts", ref), func(g seal.Grant) error {
		if !f.recs[0].Exists() {
			return errContactsNotFound
		}
		var record contactsRecord
		_, err := s.open(g, f.vault, contactsPlace(f.vault), f.recs[0], &record)
		out = record.contacts()
		return err
	})
	return out, explain(err)
}

// SetCertificateContacts replaces the contacts. An empty list leaves none; nil, which
// means that none was sent, is a BadParameter.
func (s *Service) SetCertificateContacts(ctx context.Context, caller access.Caller, vault string, contacts *[]Contact) error {
	ref := contactsRef(vault)
	return explain(s.write(ctx, caller, CertificateContactsSet, "certificates/contacts", ref, func(e edit) error {
		if contacts == nil {
			return badProperty("contacts", "Send a list of contacts")
		}
		record, err := newContacts(*contacts)
		if err != nil {
			return err
		}
		rec, err := e.tx.Get(ref.key(kindContacts))
		if err != nil {
			return err
		}
		if len(*contacts) == 0 {
			return e.remove(ref.key(kindContacts))
		}
		return e.put(ref.key(kindContacts), contactsPlace(e.vault), rec.Revision, record)
	}))
}

// DeleteCertificateContacts removes the contacts and returns what they were.
func (s *Service) DeleteCertificateContacts(ctx context.Context, caller access.Caller, vault string) ([]Contact, error) {
	ref := contactsRef(vault)
	var out []Contact
	err := s.write(ctx, caller, CertificateContactsDel, "certificates/contacts", ref, func(e edit) error {
		var record contactsRecord
		was, err := e.read(ref.key(kindContacts), contactsPlace(e.vault), &record)
		switch {
		case err != nil:
			return err
		case was == 0 && out != nil: // a rerun of a commit that did happen
			return nil
		case was == 0:
			return errContactsNotFound
		}
		out = record.contacts()
		return e.tx.Delete(ref.key(kindContacts), was)
	})
	return out, explain(err)
}

func newContacts(contacts []Contact) (contactsRecord, error) {
	record := contactsRecord{Contacts: []contactRecord{}}
	if len(contacts) > maxContacts {
		return record, badProperty("contacts", fmt.Sprintf("There are more than %d contacts", maxContacts))
	}
	for i, c := range contacts {
		for _, text := range []*string{c.Email, c.Name, c.Phone} {
			if utf8.RuneCountInString(value(text, "")) > maxContactText {
				return record, badProperty(fmt.Sprintf("contacts[%d]", i), fmt.Sprintf("char length is too long: use at most %d characters", maxContactText))
			}
		}
		record.Contacts = append(record.Contacts, contactRecord(c))
	}
	return record, nil
}

func (r contactsRecord) contacts() []Contact {
	out := make([]Contact, 0, len(r.Contacts))
	for _, c := range r.Contacts {
		out = append(out, Contact(c))
	}
	return out
}
