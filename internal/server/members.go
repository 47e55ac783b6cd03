package server

import (
	"reflect"
	"strings"
)

// Members returns the name of every member of the configuration, those inside of others
// with dots, such as "tls.key_file".
func Members() []string { return membersOf(reflect.TypeFor[Config](), "") }

func membersOf(of reflect.Type, prefix string) []string {
	var out []string
	for i := range of.NumField() {
		name, how, _ := strings.Cut(of.Field(i).Tag.Get("yaml"), ",")
		kind := of.Field(i).Type
		if how == "inline" {
			out = append(out, membersOf(kind, prefix)...)
			continue
		}
		if name == "" || name == "-" {
			continue
		}
		for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice {
			kind = kind.Elem()
		}
		if kind.Kind() == reflect.Struct {
			out = append(out, membersOf(kind, prefix+name+".")...)
			continue
		}
		out = append(out, prefix+name)
	}
	return out
}
