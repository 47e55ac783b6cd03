package vault

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// The bounds of a page, as in the service.
const (
	MaxPageSize     = 25
	DefaultPageSize = 25
)

// A Page says which part of a list is wanted.
type Page struct {
	Size           int    // 1 to MaxPageSize; zero is DefaultPageSize
	Token          string // of the page before; empty for the first
	IncludePending bool   // certificates that were never issued, too; the token overrides it
}

// A position is what a skip token holds. It is sealed, for one list of one vault.
type position struct {
	After          string `cbor:"1,keyasint"` // the last name or version that was looked at
	IncludePending bool   `cbor:"2,keyasint"`
}

// maxSkipToken bounds a token, in characters.
const maxSkipToken = 1024

var errSkipToken = &Error{Code: CodeBadParameter, Message: "The $skiptoken is not one that this vault gave for this list; begin the list again."}

// positionPlace binds a skip token to a list: that of a vault, or of the versions of a
// name.
func positionPlace(v *vaultState, list, name string) seal.Place {
	return seal.Place{Purpose: seal.PurposeSkipToken, Vault: v.Instance, Kind: list, Name: fold(name), Format: recordFormat}
}

func (p Page) check() (Page, error) {
	if p.Size == 0 {
		p.Size = DefaultPageSize
	}
	if p.Size < 1 || p.Size > MaxPageSize {
		return p, &Error{Code: CodeBadParameter, Message: fmt.Sprintf("maxresults has to be 1 to %d, not %d.", MaxPageSize, p.Size)}
	}
	if len(p.Token) > maxSkipToken {
		return p, errSkipToken
	}
	return p, nil
}

// openPosition reads where a page begins.
func (s *Service) openPosition(g seal.Grant, place seal.Place, p Page) (position, error) {
	at := position{IncludePending: p.IncludePending}
	if p.Token == "" {
		return at, nil
	}
	box, err := decodeURL(p.Token)
	if err != nil {
		return at, errSkipToken
	}
	plain, opened, err := s.Keyring.Open(g, place, box)
	if err != nil {
		return at, errSkipToken
	}
	return at, decode(plain, opened.Format, &at)
}

// decodeURL reads base64url in its one form. The library passes over line breaks even
// when it is strict.
func decodeURL(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, base64.CorruptInputError(strings.IndexAny(text, "\r\n"))
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

func (s *Service) sealPosition(g seal.Grant, place seal.Place, at position) (string, error) {
	body, err := encode(at)
	if err != nil {
		return "", err
	}
	box, err := s.Keyring.Seal(g, place, body)
	return base64.RawURLEncoding.EncodeToString(box), err
}

// A list is what a page is cut from: the records with a prefix.
type list struct {
	op         gate.Operation
	collection string
	prefix     store.Key
}

// page decides, reads the rows of one page from where the token says, and hands each
// to show. It looks at no more rows than the page has, whatever of them is shown, so
// that its cost does not depend on the vault. It returns the token of the next page, or
// none.
func (s *Service) page(ctx context.Context, caller access.Caller, ref Ref, p Page, l list, show func(edit, position, store.Record) error) (next string, err error) {
	if p, err = p.check(); err != nil {
		return "", err
	}
	f, err := s.find(ctx, caller, ref.Vault)
	if err != nil {
		return "", err
	}
	err = s.Gate.Read(ctx, s.request(f, l.op, l.collection, ref), func(g seal.Grant) error {
		place := positionPlace(f.vault, l.collection, "")
		at, err := s.openPosition(g, place, p)
		if err != nil {
			return err
		}
		more := false
		if err := s.view(ctx, g, f.vault, func(e edit) error {
			rows, err := e.tx.Scan(l.prefix, after(l.prefix, at.After), p.Size+1)
			if err != nil {
				return err
			}
			more = len(rows) > p.Size
			for _, row := range rows[:min(len(rows), p.Size)] {
				if err := show(e, at, row); err != nil {
					return err
				}
				at.After = string(row.Key[len(l.prefix):])
			}
			return nil
		}); err != nil || !more {
			return err
		}
		next, err = s.sealPosition(g, place, at)
		return err
	})
	return next, explain(err)
}

func after(prefix store.Key, name string) store.Key {
	if name == "" {
		return ""
	}
	return prefix + store.Key(name)
}

// ListCertificates returns a page of the current versions, by name, and the token of
// the next page. A page may be shorter than its size, even empty, and have a next one:
// deleted certificates are left out after the page was cut, as in the service
// (recorded).
func (s *Service) ListCertificates(ctx context.Context, caller access.Caller, vault string, p Page) (out []Certificate, next string, err error) {
	l := list{op: CertificateList, collection: "certificates", prefix: listPrefix(vault, kindCertificate)}
	next, err = s.page(ctx, caller, Ref{Vault: vault}, p, l, func(e edit, at position, row store.Record) error {
		var head certificateHead
		ref := Ref{Vault: vault, Name: string(row.Key[len(l.prefix):])}
		if _, err := s.openHead(e.g, e.vault, kindCertificate, ref, row, &head); err != nil {
			return err
		}
		if c := head.certificate(e.vault); head.State == stateLive && (c.Issued() || at.IncludePending) {
			out = append(out, c)
		}
		return nil
	})
	return out, next, err
}

// ListDeletedCertificates returns a page of the deleted certificates, by name.
func (s *Service) ListDeletedCertificates(ctx context.Context, caller access.Caller, vault string, p Page) (out []DeletedCertificate, next string, err error) {
	l := list{op: CertificateListDeleted, collection: "deletedcertificates", prefix: listPrefix(vault, indexDeleted)}
	next, err = s.page(ctx, caller, Ref{Vault: vault}, p, l, func(e edit, at position, row store.Record) error {
		var head certificateHead
		was, err := e.head(kindCertificate, Ref{Vault: vault, Name: string(row.Key[len(l.prefix):])}, &head)
		if err != nil || was == 0 || head.State != stateDeleted { // the index is a hint
			return err
		}
		if c := head.deleted(e.vault); c.Issued() || at.IncludePending {
			out = append(out, c)
		}
		return nil
	})
	return out, next, err
}

// ListCertificateVersions returns a page of the issued versions of a certificate, by
// version id. A name that does not exist has none.
func (s *Service) ListCertificateVersions(ctx context.Context, caller access.Caller, ref Ref, p Page) (out []Certificate, next string, err error) {
	p, err = p.check()
	if err != nil {
		return nil, "", err
	}
	ref.Version = ""
	f, err := s.find(ctx, caller, ref.Vault, ref.key(kindCertificate))
	if err != nil {
		return nil, "", err
	}
	err = s.Gate.Read(ctx, s.request(f, CertificateListVersions, "certificates", ref), func(g seal.Grant) error {
		place := positionPlace(f.vault, "versions", ref.Name)
		at, err := s.openPosition(g, place, p)
		if err != nil {
			return err
		}
		var head certificateHead
		var rows []certificateVersion
		if err := s.view(ctx, g, f.vault, func(e edit) error {
			head, rows, err = e.versionRows(ref, at.After, p.Size+1)
			return err
		}); err != nil {
			return err
		}
		for _, v := range rows[:min(len(rows), p.Size)] {
			out = append(out, head.version(f.vault, v))
			at.After = v.ID
		}
		if len(rows) > p.Size {
			next, err = s.sealPosition(g, place, at)
		}
		return err
	})
	return out, next, explain(err)
}

// versionRows reads at most limit versions after one, the current among them.
func (e edit) versionRows(ref Ref, last string, limit int) (head certificateHead, rows []certificateVersion, err error) {
	if _, err = e.head(kindCertificate, ref, &head); err != nil || head.State != stateLive {
		return head, nil, err
	}
	prefix := ref.versionPrefix(kindCertificateVersion)
	recs, err := e.tx.Scan(prefix, after(prefix, last), limit)
	if err != nil {
		return head, nil, err
	}
	for _, rec := range recs {
		var row certificateVersion
		place := e.vault.place(kindCertificateVersion, ref, head.object, string(rec.Key[len(prefix):]))
		if _, err := e.s.open(e.g, e.vault, place, rec, &row); err != nil {
			return head, nil, err
		}
		rows = append(rows, row)
	}
	if len(head.Current.CER) > 0 && head.Current.ID > last {
		rows = append(rows, head.Current)
	}
	slices.SortFunc(rows, func(a, b certificateVersion) int { return cmp.Compare(a.ID, b.ID) })
	return head, rows[:min(len(rows), limit)], nil
}
