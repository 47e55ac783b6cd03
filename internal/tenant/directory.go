package tenant

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"coffer/internal/access"
	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A DirectoryCode is what is wrong with a request to the directory, in the service's words.
type DirectoryCode string

// The codes.
const (
	ObjectNotFound  DirectoryCode = "Request_ResourceNotFound"
	BadObject       DirectoryCode = "Request_BadRequest"
	ObjectConflict  DirectoryCode = "Request_MultipleObjectsWithSameKeyValue"
	QuotaExceeded   DirectoryCode = "Directory_QuotaExceeded"
	NotOwnedAnyMore DirectoryCode = "Authorization_RequestDenied"
	DelegatedOnly   DirectoryCode = "BadRequest"
)

// A DirectoryError is a refused request to the directory. A refusal for want of rights is a
// *gate.Denied, or NotOwnedAnyMore if they were lost while the request was under way.
type DirectoryError struct {
	Code    DirectoryCode
	Message string
}

// Error returns the message.
func (e *DirectoryError) Error() string { return e.Message }

// AuditCode is what the audit log shows as the outcome.
func (e *DirectoryError) AuditCode() string { return string(e.Code) }

func badObject(format string, args ...any) error {
	return &DirectoryError{Code: BadObject, Message: fmt.Sprintf(format, args...)}
}

func objectConflict(format string, args ...any) error {
	return &DirectoryError{Code: ObjectConflict, Message: fmt.Sprintf(format, args...)}
}

// noObject has the service's text (documented).
func noObject(id string) error {
	return &DirectoryError{Code: ObjectNotFound, Message: fmt.Sprintf(
		"Resource '%s' does not exist or one of its queried reference-property objects are not present.", clip(id))}
}

// A Ref names an application, or a service principal, by its object id or its client id.
type Ref struct {
	Principal bool
	ID, AppID string
}

func (r Ref) String() string {
	if r.AppID != "" {
		return r.AppID
	}
	return r.ID
}

// A Query asks for a part of a collection. Match nil takes everything.
type Query[T any] struct {
	Match func(T) bool
	After string // Page.Next of the page before
	Size  int    // at least 1
}

// A Page is an answer to a Query.
type Page[T any] struct {
	Items []T
	Next  string // empty: there is no more
	Total int    // how many match
}

// kept is a record with what was parsed of it, which is shared and never changed.
type kept[T any] struct {
	store.Record
	value T
}

// A directory is everything that is in the directory, from one snapshot, in the order of the
// keys. Directories are small, so the collections have no other index than what is made when
// they are read.
type directory struct {
	applications []kept[applicationRecord]
	principals   []kept[principalRecord] // users are among them
	users        []kept[userRecord]
	groups       []kept[groupRecord]
	roles        store.Record
	revision     store.Record // at directoryKey

	byAppID    map[string]int // of applications
	byObjectID map[string]int // of principals
}

// The prefixes of the collections.
const (
	applicationPrefix store.Key = "t/app/"
	principalPrefix   store.Key = "t/sp/"
	userPrefix        store.Key = "t/user/"
)

func userKey(name string) store.Key { return userPrefix + store.Key(strings.ToLower(name)) }

func (s *Service) directory(ctx context.Context) (*directory, error) {
	d := &directory{}
	var applications, principals, users, groups []store.Record
	err := s.config.Store.View(ctx, func(tx store.Tx) (err error) {
		applications, principals, users, groups = nil, nil, nil, nil
		for prefix, into := range map[store.Key]*[]store.Record{applicationPrefix: &applications, principalPrefix: &principals, userPrefix: &users, groupPrefix: &groups} {
			if *into, err = scan(tx, prefix); err != nil {
				return err
			}
		}
		if d.roles, err = tx.Get(rolesKey); err != nil {
			return err
		}
		d.revision, err = tx.Get(directoryKey)
		return err
	})
	if err != nil {
		return nil, err
	}
	if d.applications, err = parse(s, s.applications, applications, kindApplication, applicationPrefix); err != nil {
		return nil, err
	}
	if d.principals, err = parse(s, s.principals, principals, kindPrincipal, principalPrefix); err != nil {
		return nil, err
	}
	if d.groups, err = parse(s, s.groups, groups, kindGroup, groupPrefix); err != nil {
		return nil, err
	}
	d.users, err = parse(s, s.users, users, kindUser, userPrefix)
	d.index()
	return d, err
}

func (d *directory) index() {
	d.byAppID, d.byObjectID = make(map[string]int, len(d.applications)), make(map[string]int, len(d.principals))
	for i, a := range d.applications {
		d.byAppID[strings.ToLower(a.value.AppID)] = i
	}
	for i, p := range d.principals {
		d.byObjectID[strings.ToLower(p.value.ObjectID)] = i
	}
}

// scan reads all records below a prefix.
func scan(tx store.Tx, prefix store.Key) (all []store.Record, err error) {
	const step = 500
	for after := store.Key(""); ; after = all[len(all)-1].Key {
		recs, err := tx.Scan(prefix, after, step)
		if err != nil {
			return nil, err
		}
		if all = append(all, recs...); len(recs) < step {
			return all, nil
		}
	}
}

// parse opens records, but for those that are in the cache.
func parse[T any](s *Service, cache *store.Cache[T], recs []store.Record, kind string, prefix store.Key) ([]kept[T], error) {
	out := make([]kept[T], 0, len(recs))
	for _, rec := range recs {
		value, _, err := cache.Look(rec.Key).Value(rec, func(rec store.Record) (value T, err error) {
			return value, s.open(rec, place(kind, strings.TrimPrefix(string(rec.Key), string(prefix))), &value)
		})
		if err != nil {
			return nil, err
		}
		out = append(out, kept[T]{rec, value})
	}
	return out, nil
}

// application finds what a Ref names, with its principal, if it has one.
func (d *directory) application(ref Ref) (app kept[applicationRecord], principal kept[principalRecord], err error) {
	for _, app := range d.applications {
		if !ref.names(app.value) {
			continue
		}
		principal, _ := d.principal(app.value.ObjectID)
		if ref.Principal && !principal.Exists() {
			break
		}
		return app, principal, nil
	}
	return app, principal, noObject(ref.String())
}

func (r Ref) names(a applicationRecord) bool {
	switch {
	case r.AppID != "":
		return strings.EqualFold(a.AppID, r.AppID)
	case r.Principal:
		return a.ObjectID != "" && strings.EqualFold(a.ObjectID, r.ID)
	}
	return strings.EqualFold(a.id(), r.ID)
}

func (d *directory) principal(oid string) (kept[principalRecord], bool) {
	at, ok := d.byObjectID[strings.ToLower(oid)]
	if !ok || oid == "" {
		return kept[principalRecord]{}, false
	}
	return d.principals[at], true
}

// user finds a user by object id or userPrincipalName.
func (d *directory) user(ref string) (kept[userRecord], kept[principalRecord], error) {
	for _, u := range d.users {
		if ref != "" && (strings.EqualFold(u.value.ObjectID, ref) || strings.EqualFold(u.value.Name, ref)) {
			principal, _ := d.principal(u.value.ObjectID)
			return u, principal, nil
		}
	}
	return kept[userRecord]{}, kept[principalRecord]{}, noObject(ref)
}

// id is the object id of the application itself. Records of the first version have none;
// theirs follows from the client id, so that it is always the same.
func (r applicationRecord) id() string {
	if r.ID != "" {
		return r.ID
	}
	return uuid.NewSHA1(applicationIDs, []byte(strings.ToLower(r.AppID))).String()
}

// applicationIDs is the name space of derived ids, a random UUID.
var applicationIDs = uuid.MustParse("6f0c7e0e-6a0b-4f5e-9d6c-3b3a3c5a8d21")

// page cuts what a query asks for out of items in the order of their keys.
func page[R, T any](all []kept[R], show func(kept[R]) (T, bool), q Query[T]) (p Page[T]) {
	last := ""
	for _, one := range all {
		item, ok := show(one)
		if !ok || q.Match != nil && !q.Match(item) {
			continue
		}
		p.Total++
		switch {
		case string(one.Key) <= q.After:
		case len(p.Items) < q.Size:
			p.Items, last = append(p.Items, item), string(one.Key)
		default:
			p.Next = last
		}
	}
	return p
}

// directoryRequest is a request to the gate. The right is what the audit log and the rules
// call the operation, such as applications/update.
func directoryRequest(caller access.Caller, name, right, object string, who access.Directory) gate.Request {
	return gate.Request{
		Caller: caller, Operation: gate.Operation{Name: name, Permission: access.Permission{Directory: right}},
		Subject: gate.Subject{Object: right[:strings.IndexByte(right, '/')+1] + clip(object), Rules: access.Rules{Directory: who}},
	}
}

// readDirectory hands over a snapshot; every principal of the tenant may read all of it.
func (s *Service) readDirectory(ctx context.Context, caller access.Caller, name, collection, object string, fn func(*directory) error) error {
	known, _, err := s.known(ctx, caller)
	if err != nil {
		return err
	}
	r := directoryRequest(known, name, collection+"/read", object, access.Directory{Anyone: true})
	return explain(s.config.Gate.Read(ctx, r, func(seal.Grant) error {
		d, err := s.directory(ctx)
		if err != nil {
			return err
		}
		return fn(d)
	}))
}

// An operation is a change of the directory.
type operation struct {
	name   string // of the audit log
	right  string // collection/verb
	object string
	// who says who may do it, with what is there.
	who func(*directory) access.Directory
	// before, if not nil, is done once, when it is decided and before others have to wait.
	before func() error
	// do makes the changes. It may be called more than once, each time with what is there.
	do func(seal.Grant, *directory) ([]change, error)
}

// changeDirectory decides, and decides again in front of the commit. What has to be unique is
// looked for in a snapshot, and so is what may be changed by whom. Every change writes the
// record at directoryKey too, if it is still the snapshot's: of two changes at once, on
// whichever nodes, one is made on top of the other. The mutex is for nothing but order: without
// it the changes of this node would disturb each other.
func (s *Service) changeDirectory(ctx context.Context, caller access.Caller, o operation) error {
	known, _, err := s.known(ctx, caller)
	if err != nil {
		return err
	}
	d, err := s.directory(ctx)
	if err != nil {
		return err
	}
	r := directoryRequest(known, o.name, o.right, o.object, o.who(d))
	return explain(s.config.Gate.Write(ctx, r, func(g seal.Grant) error {
		if o.before != nil {
			if err := o.before(); err != nil {
				return err
			}
		}
		s.changing.Lock()
		defer s.changing.Unlock()
		return retry(ctx, func() error {
			d, err := s.directory(ctx)
			if err != nil {
				return err
			}
			known, _, err := s.known(ctx, caller)
			if err != nil {
				return err
			}
			if now := (access.Rules{Directory: o.who(d)}).Allow(known, r.Operation.Permission, ""); !now.Allowed {
				return &DirectoryError{Code: NotOwnedAnyMore, Message: "Insufficient privileges to complete the operation."}
			}
			changes, err := o.do(g, d)
			if err != nil || len(changes) == 0 {
				return err
			}
			mark, err := s.mark(g, d.revision)
			if err != nil {
				return err
			}
			return s.commit(ctx, append(changes, mark)...)
		})
	}))
}

// mark is the change that every change of the directory makes.
func (s *Service) mark(g seal.Grant, was store.Record) (change, error) {
	was.Key = directoryKey
	box, err := s.seal(g, place(kindDirectory, ""), directoryRecord{}) // no two boxes are alike
	return change{was, box}, err
}

// directoryRecord says nothing: what counts is the revision that its record has.
type directoryRecord struct{}

// administrators alone may do an operation.
func administrators(*directory) access.Directory { return access.Directory{} }

// anyone may do an operation.
func anyone(*directory) access.Directory { return access.Directory{Anyone: true} }

// forgetting is the change that takes a principal's role assignments away.
func (s *Service) forgetting(g seal.Grant, rec store.Record, oid string) ([]change, error) {
	if !rec.Exists() {
		return nil, nil
	}
	var roles rolesRecord
	if err := s.open(rec, place(kindRoles, ""), &roles); err != nil {
		return nil, err
	}
	before := len(roles.Assignments)
	if roles.forget(oid); len(roles.Assignments) == before {
		return nil, nil
	}
	box, err := s.seal(g, place(kindRoles, ""), roles)
	return []change{{rec, box}}, err
}

// CheckCaller returns access.ErrPrincipalGone for a caller that is no principal any more.
func (s *Service) CheckCaller(ctx context.Context, caller access.Caller) error {
	_, _, err := s.known(ctx, caller)
	return err
}

// EnsureAdministrator sees to it that a principal administers the directory. It is for those
// who provision: there is no caller whose right is asked. The error is ErrNotFound.
func (s *Service) EnsureAdministrator(ctx context.Context, oid string) error {
	read := func() (p principalRecord, rec store.Record, err error) {
		recs, err := s.config.Store.Get(ctx, store.Ask{Key: principalKey(oid)})
		if err != nil {
			return p, rec, err
		}
		if !recs[0].Exists() {
			return p, rec, fmt.Errorf("%w: there is no principal %s", ErrNotFound, clip(oid))
		}
		return p, recs[0], s.open(recs[0], place(kindPrincipal, oid), &p)
	}
	if p, _, err := read(); err != nil || p.Admin {
		return err
	}
	return s.system(ctx, "PrincipalAdminister", oid, func(g seal.Grant) error {
		return retry(ctx, func() error {
			p, rec, err := read()
			if err != nil {
				return err
			}
			p.Admin = true
			box, err := s.seal(g, place(kindPrincipal, oid), p)
			if err != nil {
				return err
			}
			return s.commit(ctx, change{rec, box})
		})
	})
}
