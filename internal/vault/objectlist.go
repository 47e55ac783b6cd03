package vault

import (
	"cmp"
	"context"
	"slices"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// listObjects returns a page of the current versions, by name.
func (s *Service) listObjects(ctx context.Context, caller access.Caller, c class, vault string, p Page) (out []answer, next string, err error) {
	l := list{op: c.list, collection: c.collection, prefix: listPrefix(vault, c.kind)}
	next, err = s.page(ctx, caller, Ref{Vault: vault}, p, l, func(e edit, _ position, row store.Record) error {
		head := c.newHead()
		ref := Ref{Vault: vault, Name: string(row.Key[len(l.prefix):])}
		if _, err := s.openHead(e.g, e.vault, c.kind, ref, row, head); err != nil {
			return err
		}
		if head.base().State == stateLive {
			out = append(out, answer{vault: e.vault, head: head, version: head.current()})
		}
		return nil
	})
	return out, next, err
}

// listDeletedObjects returns a page of the deleted objects, by name.
func (s *Service) listDeletedObjects(ctx context.Context, caller access.Caller, c class, vault string, p Page) (out []answer, next string, err error) {
	l := list{op: c.listDeleted, collection: "deleted" + c.collection, prefix: listPrefix(vault, c.deleted)}
	next, err = s.page(ctx, caller, Ref{Vault: vault}, p, l, func(e edit, _ position, row store.Record) error {
		head := c.newHead()
		was, err := e.head(c.kind, Ref{Vault: vault, Name: string(row.Key[len(l.prefix):])}, head)
		if err == nil && was != 0 && head.base().State == stateDeleted { // the index is a hint
			out = append(out, answer{vault: e.vault, head: head, version: head.current()})
		}
		return err
	})
	return out, next, err
}

// listObjectVersions returns a page of the versions of an object, by version id. A name
// that does not exist has none.
func (s *Service) listObjectVersions(ctx context.Context, caller access.Caller, c class, ref Ref, p Page) (out []answer, next string, err error) {
	if p, err = p.check(); err != nil {
		return nil, "", err
	}
	ref.Version = ""
	f, err := s.find(ctx, caller, ref.Vault)
	if err != nil {
		return nil, "", err
	}
	err = s.Gate.Read(ctx, s.request(f, c.listVersions, c.collection, ref), func(g seal.Grant) error {
		place := positionPlace(f.vault, c.kind+" versions", ref.Name)
		at, err := s.openPosition(g, place, p)
		if err != nil {
			return err
		}
		if err := s.view(ctx, g, f.vault, func(e edit) error {
			out, err = e.objectVersions(c, ref, at.After, p.Size+1)
			return err
		}); err != nil || len(out) <= p.Size {
			return err
		}
		out = out[:p.Size]
		at.After = out[p.Size-1].version.record().ID
		next, err = s.sealPosition(g, place, at)
		return err
	})
	return out, next, explain(err)
}

// objectVersions reads at most limit versions after one, the current among them.
func (e edit) objectVersions(c class, ref Ref, last string, limit int) (out []answer, err error) {
	head := c.newHead()
	was, err := e.head(c.kind, ref, head)
	if err != nil || was == 0 || head.base().State != stateLive {
		return nil, err
	}
	prefix := ref.versionPrefix(c.versions)
	recs, err := e.tx.Scan(prefix, after(prefix, last), limit)
	if err != nil {
		return nil, err
	}
	for _, rec := range recs {
		v := c.newVersion()
		place := e.vault.place(c.versions, ref, head.base().object, string(rec.Key[len(prefix):]))
		if _, err := e.s.open(e.g, e.vault, place, rec, v); err != nil {
			return nil, err
		}
		out = append(out, answer{vault: e.vault, head: head, version: v})
	}
	if head.current().record().ID > last {
		out = append(out, answer{vault: e.vault, head: head, version: head.current()})
	}
	slices.SortFunc(out, func(a, b answer) int { return cmp.Compare(a.version.record().ID, b.version.record().ID) })
	return out[:min(len(out), limit)], nil
}
