package mutation_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"coffer/test/mutation"
)

type inner struct {
	B *string `json:"b"`
}

type body struct {
	A    string  `json:"a,omitempty"`
	List []inner `json:"list"`
	None int     `json:"-"`
}

func TestBodies(t *testing.T) {
	var seen []string
	for text := range mutation.Bodies(body{}, `{"a":"x","list":[{"b":"y"}]}`) {
		seen = append(seen, text)
	}
	for _, want := range []string{`{"a":null,"list":[{"b":"y"}]}`, `{"a":"x","list":[{"b":[]}]}`, `{"a":"x","list":[{}]}`, `{"list":[{"b":"y"}]}`, `{"a":1e400,"list":[{"b":"y"}]}`, `{"a":"x","list":[{"B":[7],"b":"y"}]}`, "", `{"a":"x","list":[{"b":"y"}]`} {
		if !slices.Contains(seen, want) {
			t.Errorf("%s is missing", want)
		}
	}
	if got := mutation.Paths(reflect.TypeFor[*body]()); !reflect.DeepEqual(got, [][]string{{"a"}, {"list"}, {"list", "b"}}) {
		t.Errorf("%v", got)
	}
	objects := 0
	for _, text := range seen {
		if strings.HasPrefix(text, "{") && json.Valid([]byte(text)) {
			objects++
		}
	}
	if objects < 60 || len(seen)-objects < 10 {
		t.Errorf("%d objects of %d", objects, len(seen))
	}
	for range mutation.Bodies(body{}, `{}`) { // it can be left
		break
	}
}
