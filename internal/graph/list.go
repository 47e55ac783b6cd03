package graph

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"coffer/internal/tenant"
)

// The sizes of pages (documented).
const (
	defaultPage = 100
	maxPage     = 999
)

type collection struct {
	Context  string `json:"@odata.context"`
	Count    *int   `json:"@odata.count,omitempty"`
	NextLink string `json:"@odata.nextLink,omitempty"`
	Value    []any  `json:"value"`
}

// understood reports whether a parameter is one that is looked at here, or none of the protocol.
// What is left out where it would be a condition, such as a second $filter or one that is
// written in another way, would show too much.
func understood(name string, times int) bool {
	switch strings.ToLower(strings.TrimPrefix(name, "$")) {
	case "filter", "top", "skiptoken", "count", "select":
		return times == 1 && name[0] == '$' && name == strings.ToLower(name)
	case "search", "expand", "orderby", "skip", "apply":
		return false
	}
	return true
}

// query reads what a list request asks for. $select and $count change nothing about what is
// found; what would, and is not known, is refused.
func query[T any](r request, properties []property[T]) (q tenant.Query[T], err error) {
	for name, values := range r.query {
		if given := strings.Join(values, ""); given != "" && !understood(name, len(values)) {
			return q, unsupportedQuery("The query parameter %s is not supported. This server has $filter, $top, $skiptoken, $count and $select, each once.", clip(name))
		}
	}
	q.Size = defaultPage
	if text := r.query.Get("$top"); text != "" {
		if q.Size, err = strconv.Atoi(text); err != nil || q.Size < 1 || q.Size > maxPage {
			return q, badRequest("Invalid page size specified: '%s'. Must be between 1 and %d inclusive.", clip(text), maxPage)
		}
	}
	if text := r.query.Get("$skiptoken"); text != "" {
		after, err := base64.RawURLEncoding.Strict().DecodeString(text)
		if err != nil {
			return q, badRequest("The specified page token value has expired and is no longer valid for pagination.")
		}
		q.After = string(after)
	}
	q.Match, err = compile(r.query.Get("$filter"), properties)
	return q, err
}

// list answers a page of a collection.
func list[T, Item any](r request, of string, properties []property[T], get func(tenant.Query[T]) (tenant.Page[T], error), show func(T) Item) (answer, error) {
	q, err := query(r, properties)
	if err != nil {
		return answer{}, err
	}
	page, err := get(q)
	if err != nil {
		return answer{}, err
	}
	out := collection{Context: r.context(of), Value: []any{}}
	for _, item := range page.Items {
		out.Value = append(out.Value, show(item))
	}
	if r.query.Get("$count") == "true" {
		out.Count = &page.Total
	}
	if page.Next != "" {
		out.NextLink = r.nextLink(page.Next)
	}
	return answer{status: http.StatusOK, body: out}, nil
}

// nextLink repeats the request. The position is not secret: it is an id of what was shown.
func (r request) nextLink(after string) string {
	next := url.Values{}
	for name, values := range r.query {
		next[name] = values
	}
	next["$skiptoken"] = []string{base64.RawURLEncoding.EncodeToString([]byte(after))}
	return r.root + r.path + "?" + next.Encode()
}

// whole answers a collection that has no pages: those of the items that the request's filter
// takes.
func whole[T, Item any](r request, of string, properties []property[T], items []T, show func(T) Item) (answer, error) {
	q, err := query(r, properties)
	if err != nil {
		return answer{}, err
	}
	out := collection{Context: r.context(of), Value: []any{}}
	for _, item := range items {
		if q.Match == nil || q.Match(item) {
			out.Value = append(out.Value, show(item))
		}
	}
	return answer{status: http.StatusOK, body: out}, nil
}
