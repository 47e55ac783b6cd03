package tenant

import (
	"strings"

	"coffer/internal/store"
)

// A Report is told of one thing that is wrong with the record at key.
type Report func(key store.Key, problem string)

// Check looks through the directory of one snapshot: every record opens, applications and
// their service principals are of each other, users have a principal, members are in groups
// that are there, and roles are assigned to somebody who is there. An error is the store's.
func (s *Service) Check(tx store.Tx, report Report) error {
	found := checked{principals: map[string]principalRecord{}, applications: map[string]applicationRecord{}, users: map[string]bool{}, groups: map[string]bool{}}
	recs, err := scan(tx, directoryPrefix)
	if err != nil {
		return err
	}
	for _, rec := range recs {
		s.checkRecord(rec, &found, report)
	}
	found.report(report)
	return nil
}

// directoryPrefix begins every key of this room.
const directoryPrefix store.Key = "t/"

// checked is the directory, as far as it opened.
type checked struct {
	applications map[string]applicationRecord // by folded client id
	principals   map[string]principalRecord   // by folded object id
	users        map[string]bool              // folded object ids
	groups       map[string]bool              // folded object ids
	roles        rolesRecord
}

func (s *Service) checkRecord(rec store.Record, found *checked, report Report) {
	kind, name := kindOf(rec.Key)
	var value any
	var application applicationRecord
	var principal principalRecord
	var user userRecord
	switch kind {
	case kindTenant:
		value = &tenantRecord{}
	case kindSigningKey:
		value = new(any)
	case kindRoles:
		value = &found.roles
	case kindDirectory:
		value = &directoryRecord{}
	case kindApplication:
		value = &application
	case kindPrincipal:
		value = &principal
	case kindUser:
		value = &user
	case kindGroup:
		value = &groupRecord{}
	case kindDevice:
		value = &deviceRecord{}
	default:
		report(rec.Key, "it is of no kind that this version of Coffer knows")
		return
	}
	if err := s.open(rec, place(kind, name), value); err != nil {
		report(rec.Key, err.Error())
		return
	}
	switch kind {
	case kindApplication:
		found.applications[name] = application
	case kindPrincipal:
		found.principals[name] = principal
	case kindGroup:
		found.groups[name] = true
	case kindUser:
		found.users[strings.ToLower(user.ObjectID)] = true
	}
}

func (c checked) report(report Report) {
	for name, a := range c.applications {
		if p, ok := c.principals[strings.ToLower(a.ObjectID)]; a.ObjectID != "" && (!ok || !strings.EqualFold(p.AppID, a.AppID)) {
			report(applicationKey(name), "its service principal "+a.ObjectID+" does not exist, or is another application's")
		}
	}
	for name, p := range c.principals {
		if _, ok := c.applications[strings.ToLower(p.AppID)]; p.AppID != "" && !ok {
			report(principalKey(name), "its application "+p.AppID+" does not exist")
		}
		if p.AppID == "" && !c.users[name] {
			report(principalKey(name), "it is of a user who does not exist")
		}
	}
	for id := range c.users {
		if p, ok := c.principals[id]; !ok || p.AppID != "" {
			report(principalKey(id), "a user has no principal")
		}
	}
	c.reportGroups(report)
	c.reportRoles(report)
}

func (c checked) reportGroups(report Report) {
	for name, p := range c.principals {
		for _, group := range p.Groups {
			if !c.groups[strings.ToLower(group)] {
				report(principalKey(name), "it is a member of the group "+group+", which does not exist")
			}
		}
	}
}

func (c checked) reportRoles(report Report) {
	roles := map[string]bool{}
	for _, r := range builtInRoles() {
		roles[strings.ToLower(r.ID)] = true
	}
	for _, r := range c.roles.Definitions {
		roles[strings.ToLower(r.ID)] = true
	}
	for _, a := range c.roles.Assignments {
		if !roles[strings.ToLower(a.RoleID)] {
			report(rolesKey, "the assignment "+a.ID+" is of the role "+a.RoleID+", which does not exist")
		}
		if _, ok := c.principals[strings.ToLower(a.PrincipalID)]; !ok && !c.groups[strings.ToLower(a.PrincipalID)] {
			report(rolesKey, "the assignment "+a.ID+" is to the principal "+a.PrincipalID+", who does not exist")
		}
	}
}
