package tenant

import (
	"context"
	"slices"
	"strings"

	"coffer/internal/access"
	"coffer/internal/seal"
)

// Members are users and service principals: a group in a group is refused, so whoever is in
// a group is in it directly. What is asked of memberships in groups of groups has the same
// answers.

func (p principalRecord) memberOf(group string) bool {
	return slices.ContainsFunc(p.Groups, func(id string) bool { return strings.EqualFold(id, group) })
}

// ListMembers returns the users and service principals in a group that match. The error is
// ObjectNotFound.
func (s *Service) ListMembers(ctx context.Context, caller access.Caller, id string, q Query[Object]) (out Page[Object], err error) {
	err = s.readDirectory(ctx, caller, "GroupMemberList", "groups", id, func(d *directory) error {
		if _, err := d.group(id); err != nil {
			return err
		}
		out = page(d.principals, func(p kept[principalRecord]) (Object, bool) {
			if !p.value.memberOf(id) {
				return Object{}, false
			}
			return d.object(p.value.ObjectID)
		}, q)
		return nil
	})
	return out, err
}

// A Holder says whose memberships are asked for. One member is set.
type Holder struct {
	ID        string // of any object
	User      string // object id or userPrincipalName
	Principal Ref
	Group     string
	Me        bool // the user who calls
}

// String is how the audit log names it.
func (h Holder) String() string { return h.ID + h.User + h.Group + h.Principal.String() }

// groupsOf returns the object ids of a holder's groups. Applications and groups are in none.
func (d *directory) groupsOf(caller access.Caller, h Holder) ([]string, error) {
	switch {
	case h.Me:
		_, found, err := d.user(caller.ObjectID)
		if err != nil {
			err = delegatedOnly()
		}
		return found.value.Groups, err
	case h.User != "":
		_, found, err := d.user(h.User)
		return found.value.Groups, err
	case h.Principal.Principal:
		_, found, err := d.application(h.Principal)
		return found.value.Groups, err
	case h.Group != "":
		_, err := d.group(h.Group)
		return nil, err
	}
	if _, ok := d.object(h.ID); !ok {
		return nil, noObject(h.ID)
	}
	found, _ := d.principal(h.ID)
	return found.value.Groups, nil
}

// ListMemberships returns the groups that a holder is in and that match. Errors:
// ObjectNotFound, DelegatedOnly.
func (s *Service) ListMemberships(ctx context.Context, caller access.Caller, h Holder, q Query[Group]) (out Page[Group], err error) {
	err = s.readDirectory(ctx, caller, "MembershipList", "directoryObjects", h.String(), func(d *directory) error {
		in, err := d.groupsOf(caller, h)
		if err != nil {
			return err
		}
		out = page(d.groups, func(g kept[groupRecord]) (Group, bool) {
			shown, _ := d.showGroup(g)
			return shown, slices.Contains(in, shown.ID)
		}, q)
		return nil
	})
	return out, err
}

// ListGroupOwners returns who may change a group without administering the directory. The
// error is ObjectNotFound.
func (s *Service) ListGroupOwners(ctx context.Context, caller access.Caller, id string) (out []Object, err error) {
	err = s.readDirectory(ctx, caller, "GroupOwnerList", "groups", id, func(d *directory) error {
		found, err := d.group(id)
		for _, oid := range found.value.Owners {
			if owner, ok := d.object(oid); ok {
				out = append(out, owner)
			}
		}
		return err
	})
	return out, err
}

func (r *groupRecord) ownedBy(oid string) bool {
	return slices.Contains(r.Owners, strings.ToLower(oid))
}

func (r *groupRecord) addOwner(d *directory, oid string) error {
	if _, ok := d.principal(oid); !ok {
		return noObject(oid)
	}
	if r.ownedBy(oid) {
		return badObject("One or more added object references already exist for the following modified properties: 'owners'.")
	}
	if len(r.Owners) >= maxOwners {
		return badObject("A group has at most %d owners.", maxOwners)
	}
	r.Owners = append(slices.Clone(r.Owners), strings.ToLower(oid))
	return nil
}

// AddGroupOwner names one more owner. Errors: ObjectNotFound, BadObject.
func (s *Service) AddGroupOwner(ctx context.Context, caller access.Caller, id, oid string) error {
	return s.changeGroup(ctx, caller, "GroupOwnerAdd", "groups/update", id, func(g seal.Grant, d *directory, found kept[groupRecord]) ([]change, error) {
		made := found.value
		if err := made.addOwner(d, oid); err != nil {
			return nil, err
		}
		return s.putGroup(g, found.Record, made)
	})
}

// RemoveGroupOwner takes ownership away. The error is ObjectNotFound.
func (s *Service) RemoveGroupOwner(ctx context.Context, caller access.Caller, id, oid string) error {
	return s.changeGroup(ctx, caller, "GroupOwnerRemove", "groups/update", id, func(g seal.Grant, _ *directory, found kept[groupRecord]) ([]change, error) {
		made := found.value
		at := slices.Index(made.Owners, strings.ToLower(oid))
		if at < 0 {
			return nil, noObject(oid)
		}
		made.Owners = slices.Delete(slices.Clone(made.Owners), at, at+1)
		return s.putGroup(g, found.Record, made)
	})
}

// AddMember puts a user or a service principal into a group. A group in a group is refused.
// Errors: ObjectNotFound, BadObject.
func (s *Service) AddMember(ctx context.Context, caller access.Caller, id, oid string) error {
	return s.changeGroup(ctx, caller, "GroupMemberAdd", "groups/update", id, func(g seal.Grant, d *directory, found kept[groupRecord]) ([]change, error) {
		if _, err := d.group(oid); err == nil {
			return nil, badObject("A group cannot be a member of a group on this server: add its members instead.")
		}
		member, ok := d.principal(oid)
		members := 0
		for _, p := range d.principals {
			if p.value.memberOf(id) {
				members++
			}
		}
		switch {
		case !ok:
			return nil, noObject(oid)
		case member.value.memberOf(id):
			return nil, badObject("One or more added object references already exist for the following modified properties: 'members'.")
		case members >= maxMembers:
			return nil, badObject("A group has at most %d members.", maxMembers)
		case len(member.value.Groups) >= maxMemberships:
			return nil, badObject("A principal is a member of at most %d groups.", maxMemberships)
		}
		// The group is written as well, so that nobody joins one that is removed at the same time.
		out, err := s.putGroup(g, found.Record, found.value)
		if err != nil {
			return nil, err
		}
		joined, err := s.putMemberships(g, member, append(slices.Clone(member.value.Groups), found.value.ObjectID))
		return append(out, joined...), err
	})
}

// RemoveMember ends a membership. The error is ObjectNotFound.
func (s *Service) RemoveMember(ctx context.Context, caller access.Caller, id, oid string) error {
	return s.changeGroup(ctx, caller, "GroupMemberRemove", "groups/update", id, func(g seal.Grant, d *directory, _ kept[groupRecord]) ([]change, error) {
		member, ok := d.principal(oid)
		if !ok || !member.value.memberOf(id) {
			return nil, noObject(oid)
		}
		return s.leave(g, member, id)
	})
}

func (s *Service) leave(g seal.Grant, member kept[principalRecord], group string) ([]change, error) {
	return s.putMemberships(g, member, slices.DeleteFunc(slices.Clone(member.value.Groups), func(id string) bool { return strings.EqualFold(id, group) }))
}

func (s *Service) putMemberships(g seal.Grant, member kept[principalRecord], groups []string) ([]change, error) {
	made := member.value
	made.Groups = groups
	box, err := s.seal(g, place(kindPrincipal, made.ObjectID), made)
	return []change{{member.Record, box}}, err
}
