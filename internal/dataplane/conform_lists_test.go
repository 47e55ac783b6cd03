package dataplane_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// pages follows a list by its links, as clients do, and calls between after each page.
func (d *door) pages(path string, between func(page int)) (ids []string, sizes []int) {
	d.t.Helper()
	for path != "" {
		page := d.want(d.do("GET", path, ""), 200, "")
		d.order(page.text, "value", "nextLink")
		rows := page.body["value"].([]any)
		sizes = append(sizes, len(rows))
		for _, row := range rows {
			id, _ := row.(map[string]any)["id"].(string)
			ids = append(ids, id[strings.LastIndex(id, "/")+1:])
		}
		next, _ := page.body["nextLink"].(string)
		if path = strings.TrimPrefix(next, d.base+":443"); next != "" && path == next {
			d.t.Fatalf("nextLink is %s", next)
		}
		if between != nil {
			between(len(sizes))
		}
	}
	return ids, sizes
}

func (d *door) wantPages(path string, ids []string, sizes ...int) {
	d.t.Helper()
	gotIDs, gotSizes := d.pages(path, nil)
	if !slices.Equal(gotIDs, ids) || !slices.Equal(gotSizes, sizes) {
		d.t.Errorf("%s: pages of %v with %v, want %v", path, gotSizes, gotIDs, ids)
	}
}

func TestConformPages(t *testing.T) {
	claims(t, "cert-7.3-9", "cert-7.3-12", "cert-7.3-13")
	d := newDoor(t)
	var names []string
	for i := range 27 {
		names = append(names, fmt.Sprintf("c%02d", i))
		d.want(d.do("POST", "/certificates/"+names[i]+"/create", unknownEC), 202, "")
		d.want(d.do("PUT", "/certificates/issuers/"+names[i], `{"provider":"Test"}`), 200, "")
	}
	all := "?api-version=7.4&includePending=true"
	d.wantPages("/certificates"+all, names, 25, 2)
	d.wantPages("/certificates"+all+"&maxresults=25", names, 25, 2)
	d.wantPages("/certificates"+all+"&maxresults=13", names, 13, 13, 1)
	d.wantPages("/certificates/issuers?api-version=7.4", names, 25, 2)
	d.wantPages("/certificates/issuers?api-version=7.4&maxresults=9", names, 9, 9, 9)
	for _, query := range []string{all, all + "&maxresults=25"} {
		next := d.do("GET", "/certificates"+query, "").body["nextLink"].(string)
		if strings.Contains(next, "maxresults") != strings.Contains(query, "maxresults") || strings.Contains(next, "includePending") {
			t.Errorf("%s: nextLink is %s", query, next)
		}
	}
	for _, name := range names {
		d.want(d.do("DELETE", "/certificates/"+name, ""), 200, "")
	}
	d.wantPages("/deletedcertificates"+all, names, 25, 2)
	d.wantPages("/deletedcertificates"+all+"&maxresults=20", names, 20, 7)
	for _, path := range []string{"/certificates" + all, "/deletedcertificates?api-version=7.4"} { // which were never issued
		if ids, _ := d.pages(path, nil); len(ids) != 0 {
			t.Errorf("%s: %v", path, ids)
		}
	}
	for _, path := range []string{"/certificates", "/deletedcertificates", "/certificates/issuers", "/certificates/c00/versions"} {
		for _, size := range []string{"0", "26", "-1", "1.5", "x", "99999999999999999999"} {
			d.want(d.do("GET", path+"?api-version=7.4&maxresults="+size, ""), 400, "BadParameter")
		}
	}
}

// While a client goes from page to page, others make, remove and remove for good. What
// was there all the time is seen exactly once.
func TestConformStableLists(t *testing.T) {
	claims(t, "cert-7.3-10")
	d := newDoor(t)
	all := []string{"b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "b9"}
	for _, name := range all {
		d.make(name, selfEC)
	}
	remove := func(name string) {
		d.want(d.do("DELETE", "/certificates/"+name, ""), 200, "")
		d.want(d.do("DELETE", "/deletedcertificates/"+name, ""), 204, "")
	}
	ids, _ := d.pages("/certificates?api-version=7.4&maxresults=3", func(page int) {
		switch page {
		case 1: // b0 b1 b2 were seen
			d.make("a", selfEC)
			d.make("b35", selfEC)
			remove("b0")
			remove("b2") // where the page was cut
			remove("b4")
		case 2:
			d.make("b2", selfEC) // again
			d.make("b3", selfEC) // another version
			remove("b9")
		}
	})
	if want := []string{"b0", "b1", "b2", "b3", "b35", "b5", "b6", "b7", "b8"}; !slices.Equal(ids, want) {
		t.Errorf("%v", ids)
	}
	var versions []string
	for range 6 {
		versions = append(versions, d.make("many", selfEC).version())
	}
	seen, _ := d.pages("/certificates/many/versions?api-version=7.4&maxresults=2", func(page int) {
		if page < 3 {
			d.make("many", selfEC)
		}
	})
	if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != len(seen) {
		t.Errorf("%v", seen)
	}
	for _, version := range versions {
		if !slices.Contains(seen, version) {
			t.Errorf("%s is not in %v", version, seen)
		}
	}
}

func TestConformSkipTokens(t *testing.T) {
	claims(t, "cert-7.3-11", "cert-7.3-14")
	d := newDoor(t)
	for range 3 {
		d.make("web", selfEC)
	}
	d.make("web2", selfEC)
	d.make("web2", selfEC)
	token := func(path string) string {
		next := d.do("GET", path+"?api-version=7.4&maxresults=1", "").body["nextLink"].(string)
		return strings.TrimSuffix(next[strings.Index(next, "$skiptoken=")+len("$skiptoken="):], "&maxresults=1")
	}
	ofList, ofVersions := token("/certificates"), token("/certificates/web/versions")
	at := func(on *door, path, token string) answer {
		return on.do("GET", path+"?api-version=7.4&$skiptoken="+token, "")
	}
	d.want(at(d, "/certificates", ofList), 200, "")
	d.want(at(d, "/certificates/web/versions", ofVersions), 200, "")
	for i := range ofList { // every character counts
		forged := ofList[:i] + string("AB"[min(1, strings.Count(ofList[i:i+1], "A"))]) + ofList[i+1:]
		d.want(at(d, "/certificates", forged), 400, "BadParameter")
		if i > 0 {
			d.want(at(d, "/certificates", ofList[:i]), 400, "BadParameter")
		}
	}
	other, foreign := *d, newDoor(t)
	other.base = d.server.VaultURL("other")
	for _, on := range []*door{&other, foreign} {
		on.want(at(on, "/certificates", ofList), 400, "BadParameter")
	}
	for _, path := range []string{"/deletedcertificates", "/certificates/issuers", "/certificates/web/versions", "/certificates/web2/versions", "/secrets", "/keys", "/certificates"} {
		for _, token := range []string{ofList, ofVersions, ofList + "A", ofList + "=", ofList + ofList, strings.Repeat("A", 5000), "%00", "'"} {
			if path == "/certificates" && token == ofList || path == "/certificates/web/versions" && token == ofVersions {
				continue
			}
			d.want(at(d, path, token), 400, "BadParameter")
		}
	}
	// A link is no permission.
	p := d.server.NewPrincipal("other")
	caller := d.as(p)
	caller.want(at(caller, "/certificates", ofList), 403, "Forbidden/ForbiddenByPolicy")
	d.server.Grant("demo", p, "certificates/list")
	if a := caller.want(at(caller, "/certificates", ofList), 200, ""); a.text != at(d, "/certificates", ofList).text {
		t.Error(a.text)
	}
}

func TestConformRows(t *testing.T) {
	claims(t, "cert-4.4-3")
	d := newDoor(t)
	old := d.make("web", `{"tags":{"a":"old"},`+selfEC[1:])
	c := d.make("web", `{"tags":{"a":"new"},`+selfEC[1:])
	d.want(d.do("PATCH", "/certificates/web/"+old.version(), `{"attributes":{"enabled":false}}`), 200, "")
	row := func(path, id string) map[string]any {
		for _, row := range d.want(d.do("GET", path, ""), 200, "").body["value"].([]any) {
			if row := row.(map[string]any); strings.HasSuffix(row["id"].(string), id) {
				return row
			}
		}
		t.Fatalf("%s is not in %s", id, path)
		return nil
	}
	for _, test := range []struct {
		path, id, tag, x5t string
		enabled            bool
	}{
		{"/certificates", "/certificates/web", "new", c.body["x5t"].(string), true},
		{"/certificates/web/versions", "/" + c.version(), "new", c.body["x5t"].(string), true},
		{"/certificates/web/versions", "/" + old.version(), "old", old.body["x5t"].(string), false},
	} {
		a := answer{body: row(test.path, test.id)}
		if a.at("tags.a") != test.tag || a.body["x5t"] != test.x5t || a.at("attributes.enabled") != test.enabled || a.body["subject"] != "" {
			t.Errorf("%s: %v", test.path, a.body)
		}
	}
	list := d.do("GET", "/certificates", "").text
	if got := members(t, list[strings.Index(list, "[")+1:strings.LastIndex(list, "]")]); !slices.Equal(got, []string{"id", "x5t", "attributes", "tags", "subject"}) {
		t.Errorf("%v", got)
	}
	d.do("DELETE", "/certificates/web", "")
	list = d.do("GET", "/deletedcertificates", "").text
	if got := members(t, list[strings.Index(list, "[")+1:strings.LastIndex(list, "]")]); !slices.Equal(got, []string{"recoveryId", "deletedDate", "scheduledPurgeDate", "id", "x5t", "attributes", "tags"}) {
		t.Errorf("%v", got)
	}
}
