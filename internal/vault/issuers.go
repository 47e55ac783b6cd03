package vault

import (
	"context"
	"fmt"
	"time"
	"unicode/utf8"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// An Issuer is an issuer object: how a vault is known to a certification authority.
// The password is kept, sealed, and never returned.
type Issuer struct {
	Name             string
	Provider         string
	Credentials      *IssuerCredentials // nil when none were sent
	Organization     *Organization      // nil when it was not sent
	Enabled          bool
	Created, Updated time.Time
}

// IssuerCredentials are what of an issuer's credentials can be read again.
type IssuerCredentials struct{ AccountID *string }

// An Organization is org_details.
type Organization struct {
	ID     *string
	Admins []Admin // nil when they were not sent
}

// An Admin is an administrator of an organization. What was not sent is nil.
type Admin struct{ FirstName, LastName, Email, Phone *string }

// An IssuerChange is what a request says of an issuer object. What is nil was left out.
type IssuerChange struct {
	Provider     *string
	AccountID    *string
	Password     *string
	Credentials  bool // the member credentials was sent
	Organization *Organization
	Enabled      *bool
}

// The bounds of an issuer object.
const (
	maxIssuerText = 1024 // characters of a member
	maxAdmins     = 100
)

func (in IssuerChange) check() error {
	texts := []struct {
		path string
		text *string
	}{{"provider", in.Provider}, {"credentials.account_id", in.AccountID}, {"credentials.pwd", in.Password}}
	if in.Organization != nil {
		texts = append(texts, struct {
			path string
			text *string
		}{"org_details.id", in.Organization.ID})
		if len(in.Organization.Admins) > maxAdmins {
			return badProperty("org_details.admin_details", fmt.Sprintf("There are more than %d administrators", maxAdmins))
		}
		for i, a := range in.Organization.Admins {
			for _, text := range []*string{a.FirstName, a.LastName, a.Email, a.Phone} {
				texts = append(texts, struct {
					path string
					text *string
				}{fmt.Sprintf("org_details.admin_details[%d]", i), text})
			}
		}
	}
	for _, t := range texts {
		if utf8.RuneCountInString(value(t.text, "")) > maxIssuerText {
			return badProperty(t.path, fmt.Sprintf("char length is too long: use at most %d characters", maxIssuerText))
		}
	}
	if in.Provider != nil && *in.Provider == "" {
		return badProperty("provider", "Name the provider, such as DigiCert")
	}
	return nil
}

// SetCertificateIssuer makes an issuer object, or replaces it. Who made it first counts
// for the creation time (recorded).
func (s *Service) SetCertificateIssuer(ctx context.Context, caller access.Caller, ref Ref, in IssuerChange) (Issuer, error) {
	return s.putIssuer(ctx, caller, CertificateIssuerSet, ref, in, func(old issuerRecord, exists bool, now int64) (issuerRecord, error) {
		if in.Provider == nil {
			return old, badProperty("provider", "Name the provider, such as DigiCert")
		}
		fresh := issuerRecord{Name: ref.Name, Enabled: true, Created: now}
		if exists {
			fresh.Name, fresh.Created = old.Name, old.Created
		}
		return fresh, nil
	})
}

// UpdateCertificateIssuer changes the members that were sent (recorded).
func (s *Service) UpdateCertificateIssuer(ctx context.Context, caller access.Caller, ref Ref, in IssuerChange) (Issuer, error) {
	return s.putIssuer(ctx, caller, CertificateIssuerUpdate, ref, in, func(old issuerRecord, exists bool, _ int64) (issuerRecord, error) {
		if !exists {
			return old, errIssuerNotFound
		}
		return old, nil
	})
}

// errIssuerNotFound has no name in its text (recorded).
var errIssuerNotFound = &Error{Code: CodeIssuerNotFound, Message: "Issuer not found"}

func (s *Service) putIssuer(ctx context.Context, caller access.Caller, op gate.Operation, ref Ref, in IssuerChange, base func(issuerRecord, bool, int64) (issuerRecord, error)) (Issuer, error) {
	var out Issuer
	now := s.Now()
	err := s.write(ctx, caller, op, "certificates/issuers", ref, func(e edit) error {
		if err := in.check(); err != nil {
			return err
		}
		if name := fold(ref.Name); name == selfIssuer || name == unknownIssuer {
			return &Error{Code: CodeBadParameter, Message: "The issuer name " + ref.Name + " is reserved; choose another one."}
		}
		var old issuerRecord
		was, err := e.read(ref.key(kindIssuer), issuerPlace(e.vault, ref.Name), &old)
		if err != nil {
			return err
		}
		record, err := base(old, was != 0, unix(now))
		if err != nil {
			return err
		}
		in.over(&record)
		record.Updated = later(now, old.Updated)
		out = record.issuer()
		return e.put(ref.key(kindIssuer), issuerPlace(e.vault, ref.Name), was, record)
	})
	return out, explain(err)
}

// over puts what was sent over a record.
func (in IssuerChange) over(r *issuerRecord) {
	r.Provider, r.Enabled = value(in.Provider, r.Provider), value(in.Enabled, r.Enabled)
	if in.Credentials {
		r.HasAccount = true
	}
	if in.AccountID != nil {
		r.AccountID = in.AccountID
	}
	if in.Password != nil {
		r.Password = in.Password
	}
	if in.Organization == nil {
		return
	}
	if r.Organization == nil {
		r.Organization = &organizationRecord{}
	}
	if in.Organization.ID != nil {
		r.Organization.ID = in.Organization.ID
	}
	if in.Organization.Admins != nil {
		r.Organization.Admins = []adminRecord{}
		for _, a := range in.Organization.Admins {
			r.Organization.Admins = append(r.Organization.Admins, adminRecord(a))
		}
	}
}

func (r issuerRecord) issuer() Issuer {
	out := Issuer{Name: r.Name, Provider: r.Provider, Enabled: r.Enabled, Created: moment(r.Created), Updated: moment(r.Updated)}
	if r.HasAccount {
		out.Credentials = &IssuerCredentials{AccountID: r.AccountID}
	}
	if r.Organization != nil {
		out.Organization = &Organization{ID: r.Organization.ID}
		if r.Organization.Admins != nil {
			out.Organization.Admins = []Admin{}
		}
		for _, a := range r.Organization.Admins {
			out.Organization.Admins = append(out.Organization.Admins, Admin(a))
		}
	}
	return out
}

// GetCertificateIssuer returns an issuer object, without its password.
func (s *Service) GetCertificateIssuer(ctx context.Context, caller access.Caller, ref Ref) (Issuer, error) {
	f, err := s.find(ctx, caller, ref.Vault, ref.key(kindIssuer))
	if err != nil {
		return Issuer{}, err
	}
	var out Issuer
	err = s.Gate.Read(ctx, s.request(f, CertificateIssuerGet, "certificates/issuers", ref), func(g seal.Grant) error {
		record, ok, err := s.openIssuer(g, f.vault, ref.Name, func(store.Key) (store.Record, error) { return f.recs[0], nil })
		if err == nil && !ok {
			err = errIssuerNotFound
		}
		out = record.issuer()
		return err
	})
	return out, explain(err)
}

// DeleteCertificateIssuer removes an issuer object for good, and returns what it was.
// Policies that name it are not changed.
func (s *Service) DeleteCertificateIssuer(ctx context.Context, caller access.Caller, ref Ref) (Issuer, error) {
	var out Issuer
	seen := false
	err := s.write(ctx, caller, CertificateIssuerDelete, "certificates/issuers", ref, func(e edit) error {
		var record issuerRecord
		was, err := e.read(ref.key(kindIssuer), issuerPlace(e.vault, ref.Name), &record)
		switch {
		case err != nil:
			return err
		case was == 0 && seen: // a rerun of a commit that did happen
			return nil
		case was == 0:
			return errIssuerNotFound
		}
		out, seen = record.issuer(), true
		return e.tx.Delete(ref.key(kindIssuer), was)
	})
	return out, explain(err)
}

// ListCertificateIssuers returns a page of the issuer objects, by name.
func (s *Service) ListCertificateIssuers(ctx context.Context, caller access.Caller, vault string, p Page) (out []Issuer, next string, err error) {
	list := list{op: CertificateIssuersList, collection: "certificates/issuers", prefix: listPrefix(vault, kindIssuer)}
	next, err = s.page(ctx, caller, Ref{Vault: vault}, p, list, func(e edit, _ position, row store.Record) error {
		var record issuerRecord
		_, err := s.open(e.g, e.vault, issuerPlace(e.vault, string(row.Key[len(list.prefix):])), row, &record)
		out = append(out, record.issuer())
		return err
	})
	return out, next, err
}

func issuerPlace(v *vaultState, name string) seal.Place {
	return v.place(kindIssuer, Ref{Name: name}, v.Instance, "")
}

// openIssuer reads an issuer object by get; false means that there is none.
func (s *Service) openIssuer(g seal.Grant, v *vaultState, name string, get func(store.Key) (store.Record, error)) (record issuerRecord, ok bool, err error) {
	rec, err := get(Ref{Vault: v.Name, Name: name}.key(kindIssuer))
	if err != nil || !rec.Exists() {
		return record, false, err
	}
	_, err = s.open(g, v, issuerPlace(v, name), rec, &record)
	return record, err == nil, err
}

// checkIssuer refuses a name that is neither a reserved word nor an issuer object.
func (s *Service) checkIssuer(g seal.Grant, v *vaultState, name string, get func(store.Key) (store.Record, error)) error {
	if fold(name) == unknownIssuer || s.Issuers[fold(name)] != nil {
		return nil
	}
	record, ok, err := s.openIssuer(g, v, name, get)
	switch {
	case err != nil:
		return err
	case !ok:
		return badProperty("policy.issuer.name", "This vault has no issuer named "+name+"; create it first, or use Self or Unknown")
	case !record.Enabled:
		return badProperty("policy.issuer.name", "The issuer "+name+" is disabled")
	}
	return nil
}

// getter reads one record at a time, outside of a transaction.
func (s *Service) getter(ctx context.Context) func(store.Key) (store.Record, error) {
	return func(key store.Key) (store.Record, error) {
		recs, err := s.Store.Get(ctx, store.Ask{Key: key})
		if err != nil {
			return store.Record{}, err
		}
		return recs[0], nil
	}
}
