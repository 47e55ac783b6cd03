package tenant

import (
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"coffer/internal/access"
	"coffer/internal/seal"
	"coffer/internal/store"
)

// A Group is what permissions can be given to, so that its members have them.
type Group struct {
	ID           string
	DisplayName  string
	Description  string
	MailNickname string
	Created      time.Time
}

// A GroupEdit changes what is not nil.
type GroupEdit struct {
	DisplayName, Description, MailNickname *string
}

// groupRecord is a group. Who its members are is in their principalRecords, which are what is
// read on every request: so a membership is in force, and ends, with one write.
type groupRecord struct {
	ObjectID     string   `json:"oid"`
	DisplayName  string   `json:"name"`
	Description  string   `json:"description,omitempty"`
	MailNickname string   `json:"nick"`
	Owners       []string `json:"owners,omitempty"` // object ids
	Created      int64    `json:"created"`
}

// The bounds of groups.
const (
	maxGroups      = 10000
	maxMembers     = 1000 // of a group: its deletion is one commit
	maxMemberships = 200  // of a principal: the most that a token names (documented)
	maxDescription = 1024
	maxNickname    = 64
)

const groupPrefix store.Key = "t/group/"

const kindGroup = "group"

func groupKey(oid string) store.Key { return groupPrefix + store.Key(strings.ToLower(oid)) }

func (d *directory) showGroup(g kept[groupRecord]) (Group, bool) {
	r := g.value
	return Group{ID: r.ObjectID, DisplayName: r.DisplayName, Description: r.Description, MailNickname: r.MailNickname, Created: moment(r.Created)}, true
}

func (d *directory) group(id string) (kept[groupRecord], error) {
	for _, g := range d.groups {
		if strings.EqualFold(g.value.ObjectID, id) {
			return g, nil
		}
	}
	return kept[groupRecord]{}, noObject(id)
}

// ListGroups returns the groups that match.
func (s *Service) ListGroups(ctx context.Context, caller access.Caller, q Query[Group]) (out Page[Group], err error) {
	err = s.readDirectory(ctx, caller, "GroupList", "groups", "", func(d *directory) error {
		out = page(d.groups, d.showGroup, q)
		return nil
	})
	return out, err
}

// FindGroup returns a group. The error is ObjectNotFound.
func (s *Service) FindGroup(ctx context.Context, caller access.Caller, id string) (out Group, err error) {
	err = s.readDirectory(ctx, caller, "GroupGet", "groups", id, func(d *directory) error {
		found, err := d.group(id)
		if err == nil {
			out, _ = d.showGroup(found)
		}
		return err
	})
	return out, err
}

// CreateGroup makes a group without members. Its maker, who administers the directory, owns
// it, and so do those that the maker names. Others make none: whoever owns a group puts
// anybody into it, and a principal has room for few. Errors: BadObject, ObjectNotFound, QuotaExceeded.
func (s *Service) CreateGroup(ctx context.Context, caller access.Caller, e GroupEdit, owners []string) (out Group, err error) {
	if e.DisplayName == nil || e.MailNickname == nil {
		return out, badObject("A value is required for the properties 'displayName' and 'mailNickname' of resource 'Group'.")
	}
	record := groupRecord{ObjectID: uuid.NewString(), Owners: []string{strings.ToLower(caller.ObjectID)}, Created: s.config.Now().Unix()}
	err = s.changeDirectory(ctx, caller, operation{
		name: "GroupCreate", right: "groups/create", object: record.ObjectID, who: administrators,
		do: func(g seal.Grant, d *directory) ([]change, error) {
			made := record
			if len(d.groups) >= maxGroups {
				return nil, &DirectoryError{Code: QuotaExceeded, Message: "The directory object quota limit for the tenant has been exceeded. Delete groups that are not used."}
			}
			if err := made.edit(e); err != nil {
				return nil, err
			}
			for _, oid := range owners {
				if made.ownedBy(oid) {
					continue // the maker may name itself
				}
				if err := made.addOwner(d, oid); err != nil {
					return nil, err
				}
			}
			out, _ = d.showGroup(kept[groupRecord]{value: made})
			return s.putGroup(g, store.Record{Key: groupKey(made.ObjectID)}, made)
		},
	})
	if err != nil {
		return Group{}, err
	}
	return out, nil
}

func (s *Service) putGroup(g seal.Grant, at store.Record, r groupRecord) ([]change, error) {
	box, err := s.seal(g, place(kindGroup, r.ObjectID), r)
	return []change{{at, box}}, err
}

func (r *groupRecord) edit(e GroupEdit) error {
	if e.DisplayName != nil {
		if err := checkName("displayName", *e.DisplayName); err != nil {
			return err
		}
		r.DisplayName = *e.DisplayName
	}
	if e.Description != nil {
		if len([]rune(*e.Description)) > maxDescription {
			return badObject("Invalid value specified for property 'description' of resource 'Group': it has at most %d characters.", maxDescription)
		}
		r.Description = *e.Description
	}
	if e.MailNickname != nil {
		if n := *e.MailNickname; n == "" || len(n) > maxNickname || strings.ContainsFunc(n, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`@()\[]";:<>,`, c) }) {
			return badObject("Invalid value specified for property 'mailNickname' of resource 'Group': it has 1 to %d characters, none of them a space or one of @()\\[]\";:<>,.", maxNickname)
		}
		r.MailNickname = *e.MailNickname
	}
	return nil
}

// changeGroup changes one group. Who owns it may.
func (s *Service) changeGroup(ctx context.Context, caller access.Caller, name, right, id string, do func(seal.Grant, *directory, kept[groupRecord]) ([]change, error)) error {
	return s.changeDirectory(ctx, caller, operation{
		name: name, right: right, object: id,
		who: func(d *directory) access.Directory {
			found, err := d.group(id)
			if err != nil {
				return access.Directory{Anyone: true} // that it does not exist, everyone may know
			}
			return access.Directory{Owners: found.value.Owners}
		},
		do: func(g seal.Grant, d *directory) ([]change, error) {
			found, err := d.group(id)
			if err != nil {
				return nil, err
			}
			return do(g, d, found)
		},
	})
}

// UpdateGroup changes a group. Errors: ObjectNotFound, BadObject.
func (s *Service) UpdateGroup(ctx context.Context, caller access.Caller, id string, e GroupEdit) error {
	return s.changeGroup(ctx, caller, "GroupUpdate", "groups/update", id, func(g seal.Grant, _ *directory, found kept[groupRecord]) ([]change, error) {
		made := found.value
		if err := made.edit(e); err != nil {
			return nil, err
		}
		return s.putGroup(g, found.Record, made)
	})
}

// DeleteGroup removes a group, its memberships and its role assignments, all at once. The
// error is ObjectNotFound.
func (s *Service) DeleteGroup(ctx context.Context, caller access.Caller, id string) error {
	return s.changeGroup(ctx, caller, "GroupDelete", "groups/delete", id, func(g seal.Grant, d *directory, found kept[groupRecord]) ([]change, error) {
		out, err := s.forgetting(g, d.roles, id)
		if err != nil {
			return nil, err
		}
		for _, p := range d.principals {
			if !p.value.memberOf(id) {
				continue
			}
			left, err := s.leave(g, p, id)
			if err != nil {
				return nil, err
			}
			out = append(out, left...)
		}
		return append(out, change{was: found.Record}), nil
	})
}
