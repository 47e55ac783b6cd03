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
	return d.find(ctx, "applications", name)
}

// Principal finds the service principal of an application: by the client id, the
// principal's own object id, or the name.
func (d *Directory) Principal(ctx context.Context, name string) (Object, error) {
	return d.find(ctx, "servicePrincipals", name)
}

// User finds a user by the name that the user signs in with, or by object id.
func (d *Directory) User(ctx context.Context, name string) (Object, error) {
	return d.do(ctx, http.MethodGet, "users/"+url.PathEscape(name), nil)
}

func (d *Directory) find(ctx context.Context, collection, name string) (Object, error) {
	if !isID.MatchString(name) {
		return d.findNamed(ctx, collection, name)
	}
	found, err := d.List(ctx, collection, "appId eq '"+name+"'")
	if err != nil {
		return nil, err
	}
	if len(found) == 1 {
		return found[0], nil
	}
	object, err := d.do(ctx, http.MethodGet, collection+"/"+name, nil)
	var refused *azcore.ResponseError
	if errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound {
		return nil, noApplication(name)
	}
	return object, err
}

func (d *Directory) findNamed(ctx context.Context, collection, name string) (Object, error) {
	if name == "" {
		return nil, Usagef("name the application: its name, its client id or its object id")
	}
	found, err := d.List(ctx, collection, "displayName eq '"+strings.ReplaceAll(name, "'", "''")+"'")
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, noApplication(name)
	case len(found) > 1:
		return nil, Usagef("%d applications are called %q: name the one you mean by its client id; coffer app list shows them", len(found), name)
	}
	return found[0], nil
}

func noApplication(name string) error {
	return NotFoundf("coffer app list shows what there is", "there is no application %q", name)
}
