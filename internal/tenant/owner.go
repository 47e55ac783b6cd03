package tenant

import (
	"context"
	"slices"
	"strings"

	"coffer/internal/access"
)

// An Object is anything of the directory: one of its members is not nil.
type Object struct {
	Application *ApplicationObject
	Principal   *PrincipalObject
	User        *User
	Group       *Group
}

// object finds a principal, an application or a group by its object id.
func (d *directory) object(id string) (Object, bool) {
	if p, ok := d.principal(id); ok {
		if shown, ok := d.showPrincipal(p); ok {
			return Object{Principal: &shown}, true
		}
		if user, _, err := d.user(id); err == nil && strings.EqualFold(user.value.ObjectID, id) {
			shown, _ := d.showUser(user)
			return Object{User: &shown}, true
		}
	}
	if app, _, err := d.application(Ref{ID: id}); err == nil {
		shown, _ := d.showApplication(app)
		return Object{Application: &shown}, true
	}
	if group, err := d.group(id); err == nil {
		shown, _ := d.showGroup(group)
		return Object{Group: &shown}, true
	}
	return Object{}, false
}

// GetObjects returns those of the ids that there are, each once, however often it is asked for.
func (s *Service) GetObjects(ctx context.Context, caller access.Caller, ids []string) (out []Object, err error) {
	err = s.readDirectory(ctx, caller, "DirectoryObjectList", "directoryObjects", "", func(d *directory) error {
		seen := map[string]bool{}
		for _, id := range ids {
			if seen[strings.ToLower(id)] {
				continue
			}
			seen[strings.ToLower(id)] = true
			if found, ok := d.object(id); ok {
				out = append(out, found)
			}
		}
		return nil
	})
	return out, err
}

// FindObject returns an object. The error is ObjectNotFound.
func (s *Service) FindObject(ctx context.Context, caller access.Caller, id string) (out Object, err error) {
	err = s.readDirectory(ctx, caller, "DirectoryObjectGet", "directoryObjects", id, func(d *directory) error {
		found, ok := d.object(id)
		if !ok {
			return noObject(id)
		}
		out = found
		return nil
	})
	return out, err
}

// maxOwners bounds the owners of an application (documented).
const maxOwners = 100

// ListOwners returns who owns an application. The error is ObjectNotFound.
func (s *Service) ListOwners(ctx context.Context, caller access.Caller, ref Ref) (out []Object, err error) {
	err = s.readDirectory(ctx, caller, ref.kind()+"OwnerList", ref.collection(), ref.String(), func(d *directory) error {
		found, _, err := d.application(ref)
		for _, id := range found.value.Owners {
			if owner, ok := d.object(id); ok {
				out = append(out, owner)
			}
		}
		return err
	})
	return out, err
}

// AddOwner lets one more principal change an application. Errors: ObjectNotFound, BadObject.
func (s *Service) AddOwner(ctx context.Context, caller access.Caller, ref Ref, oid string) error {
	return s.change(ctx, caller, edit{"ApplicationOwnerAdd", "applications/update", ref, func(d *draft) error {
		if _, ok := d.directory.principal(oid); !ok {
			return noObject(oid)
		}
		switch {
		case owns(*d.application, oid):
			return badObject("One or more added object references already exist for the following modified properties: 'owners'.")
		case len(d.application.Owners) >= maxOwners:
			return badObject("An application has at most %d owners.", maxOwners)
		}
		d.application.Owners = append(d.application.Owners, strings.ToLower(oid))
		return nil
	}})
}

// RemoveOwner takes ownership away. The error is ObjectNotFound.
func (s *Service) RemoveOwner(ctx context.Context, caller access.Caller, ref Ref, oid string) error {
	return s.change(ctx, caller, edit{"ApplicationOwnerRemove", "applications/update", ref, func(d *draft) error {
		if !owns(*d.application, oid) {
			return noObject(oid)
		}
		d.application.Owners = slices.DeleteFunc(d.application.Owners, func(owner string) bool { return strings.EqualFold(owner, oid) })
		return nil
	}})
}

// GetOrganization returns the id of the tenant.
func (s *Service) GetOrganization(ctx context.Context, caller access.Caller) (string, error) {
	return s.tenantID, s.readDirectory(ctx, caller, "OrganizationGet", "organization", s.tenantID, func(*directory) error { return nil })
}
