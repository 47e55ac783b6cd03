package dataplane

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"coffer/internal/vault"
	"coffer/internal/wire"
)

// page reads what a list request asks for.
func (r request) page() (vault.Page, error) {
	p := vault.Page{Token: r.query.Get("$skiptoken")}
	if text := r.query.Get("maxresults"); text != "" {
		size, err := strconv.Atoi(text)
		if err != nil || size < 1 || size > vault.MaxPageSize {
			return p, &vault.Error{Code: vault.CodeBadParameter, Message: "maxresults has to be 1 to " + strconv.Itoa(vault.MaxPageSize) + ", not " + clip(text) + "."}
		}
		p.Size = size
	}
	if text := r.query.Get("includePending"); text != "" && !r.version.before("7.0") {
		include, err := strconv.ParseBool(strings.ToLower(text))
		if err != nil {
			return p, &vault.Error{Code: vault.CodeBadParameter, Message: "includePending has to be true or false, not " + clip(text) + "."}
		}
		p.IncludePending = include
	}
	return p, nil
}

// listAnswer gets the page that is asked for and shows its rows.
func listAnswer[Row, Item any](r request, get func(vault.Page) ([]Row, string, error), item func(Row) Item) (answer, error) {
	page, err := r.page()
	if err != nil {
		return answer{}, err
	}
	rows, next, err := get(page)
	out := wire.List[Item]{Value: make([]Item, 0, len(rows))}
	if len(rows) == 0 && r.version.String() == since2016 {
		out.Value = nil // this version alone has null for an empty list (recorded)
	}
	for _, row := range rows {
		out.Value = append(out.Value, item(row))
	}
	if next != "" {
		link := r.nextLink(next)
		out.NextLink = &link
	}
	return answer{status: http.StatusOK, body: out}, err
}

// nextLink has the form of the service: an explicit port, the $ unescaped, maxresults
// only if it was given, includePending never (recorded).
func (r request) nextLink(token string) string {
	link := r.link + r.path + "?api-version=" + url.QueryEscape(r.version.String()) + "&$skiptoken=" + token
	if size := r.query.Get("maxresults"); size != "" {
		link += "&maxresults=" + url.QueryEscape(size)
	}
	return link
}
