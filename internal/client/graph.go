package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
)

// A Directory is a client of Microsoft Graph, as far as applications and whom they stand
// for go. An answer is shown as it came, so it is kept as it came.
type Directory struct {
	root     string
	pipeline runtime.Pipeline
}

// An Object is one of the directory, as its JSON is.
type Object map[string]any

// Text is a member that is a text; empty if there is none.
func (o Object) Text(name string) string {
	text, _ := o[name].(string)
	return text
}

// Directory is a client of the directory.
func (s *Session) Directory() *Directory {
	bearer := runtime.NewBearerTokenPolicy(s.credential, []string{s.Graph + "/.default"}, nil)
	return &Directory{s.Graph + "/v1.0/", runtime.NewPipeline("coffer", "", runtime.PipelineOptions{PerRetry: []policy.Policy{bearer}}, &s.options)}
}

// do sends a request and returns the answer's body, if it has one. The path is below the
// version; in is the body, or nil.
func (d *Directory) do(ctx context.Context, method, path string, in any) (Object, error) {
	request, err := runtime.NewRequest(ctx, method, d.root+path)
	if err != nil {
		return nil, err
	}
	if in != nil {
		if err := runtime.MarshalAsJSON(request, in); err != nil {
			return nil, err
		}
	}
	response, err := d.pipeline.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if !runtime.HasStatusCode(response, http.StatusOK, http.StatusCreated, http.StatusNoContent) {
		return nil, runtime.NewResponseError(response)
	}
	out := Object{}
	if response.StatusCode == http.StatusNoContent {
		return out, nil
	}
	return out, runtime.UnmarshalAsJSON(response, &out)
}

// Post makes something in a collection, or has something done.
func (d *Directory) Post(ctx context.Context, path string, in any) (Object, error) {
	return d.do(ctx, http.MethodPost, path, in)
}

// Patch changes the members that in has.
func (d *Directory) Patch(ctx context.Context, path string, in any) error {
	_, err := d.do(ctx, http.MethodPatch, path, in)
	return err
}

// Refer adds an object to those that another one refers to: path ends in $ref.
func (d *Directory) Refer(ctx context.Context, path, id string) error {
	_, err := d.Post(ctx, path, map[string]string{"@odata.id": d.root + "directoryObjects/" + url.PathEscape(id)})
	return err
}

// Delete removes an object.
func (d *Directory) Delete(ctx context.Context, path string) error {
	_, err := d.do(ctx, http.MethodDelete, path, nil)
	return err
}

// List reads all pages of a collection.
func (d *Directory) List(ctx context.Context, path, filter string) ([]Object, error) {
	if filter != "" {
		path += "?$filter=" + url.QueryEscape(filter)
	}
	out := []Object{}
	for path != "" {
		page, err := d.do(ctx, http.MethodGet, path, nil)
		if err != nil {
			return nil, err
		}
		items, _ := page["value"].([]any)
		for _, item := range items {
			object, _ := item.(map[string]any)
			out = append(out, object)
		}
		next := page.Text("@odata.nextLink")
		path = strings.TrimPrefix(next, d.root)
		if next != "" && path == next {
			return nil, fmt.Errorf("the directory's next page is not at %s, but at %s; it was not asked", d.root, Printable(next))
		}
	}
	return out, nil
}

// isID tells the ids of the directory from names.
var isID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// Application finds an application by its client id, its object id or its name.
func (d *Directory) Application(ctx context.Context, name string) (Object, error) {
	return d.find(ctx, applications, name)
}

// Principal finds the service principal of an application: by the client id, the
// principal's own object id, or the name.
func (d *Directory) Principal(ctx context.Context, name string) (Object, error) {
	return d.find(ctx, principals, name)
}

// User finds a user by the name that the user signs in with, or by object id.
func (d *Directory) User(ctx context.Context, name string) (Object, error) {
	return d.do(ctx, http.MethodGet, "users/"+url.PathEscape(name), nil)
}

// Group finds a group by its object id or its name.
func (d *Directory) Group(ctx context.Context, name string) (Object, error) {
	if isID.MatchString(name) {
		return d.get(ctx, groups, name)
	}
	return d.findNamed(ctx, groups, name)
}

// A collection is one of the directory, with the words for what is in it.
type collection struct{ path, word, command string }

var (
	applications = collection{"applications", "application", "app"}
	principals   = collection{"servicePrincipals", "application", "app"}
	groups       = collection{"groups", "group", "group"}
)

func (d *Directory) find(ctx context.Context, of collection, name string) (Object, error) {
	if !isID.MatchString(name) {
		return d.findNamed(ctx, of, name)
	}
	found, err := d.List(ctx, of.path, "appId eq '"+name+"'")
	if err != nil {
		return nil, err
	}
	if len(found) == 1 {
		return found[0], nil
	}
	return d.get(ctx, of, name)
}

// get reads an object by its id.
func (d *Directory) get(ctx context.Context, of collection, id string) (Object, error) {
	object, err := d.do(ctx, http.MethodGet, of.path+"/"+id, nil)
	var refused *azcore.ResponseError
	if errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound {
		return nil, of.none(id)
	}
	return object, err
}

func (d *Directory) findNamed(ctx context.Context, of collection, name string) (Object, error) {
	if name == "" {
		return nil, Usagef("name the %s: its name or its id", of.word)
	}
	found, err := d.List(ctx, of.path, "displayName eq '"+strings.ReplaceAll(name, "'", "''")+"'")
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, of.none(name)
	case len(found) > 1:
		return nil, Usagef("%d %ss are called %q: name the one you mean by its id; coffer %s list shows them", len(found), of.word, name, of.command)
	}
	return found[0], nil
}

func (c collection) none(name string) error {
	return NotFoundf("coffer "+c.command+" list shows what there is", "there is no %s %q", c.word, name)
}
