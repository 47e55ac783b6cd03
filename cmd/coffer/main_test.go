package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spf13/cobra"

	"coffer/internal/httpd"
)

// Whatever a caller sends, a request is one line without control characters.
func TestAccessLineCannotBeForged(t *testing.T) {
	var out bytes.Buffer
	printAccess(&out, httpd.Access{Status: 401, Method: "GET\n", Host: "a\x1b[31m", Path: "/x\ncoffer: 200", Query: "\u202ey\u009b"})
	if text := out.String(); strings.Count(text, "\n") != 1 || strings.ContainsAny(text, "\x1b\u009b\u202e") {
		t.Errorf("%q", text)
	}
}

func TestUsage(t *testing.T) {
	for _, test := range []struct {
		args []string
		code int
		err  string
	}{
		{[]string{"run"}, 2, "name the program to run"}, {[]string{"nothing"}, 2, "unknown command"}, {[]string{"serve", "--config", "/nowhere/x.yaml"}, 1, "coffer init makes one"},
		{[]string{"init"}, 2, "domain"}, {[]string{"init", "--domain", "a.b", "--output", "xml"}, 2, "table or json"}, {[]string{"janitor", "/etc"}, 1, "is not the directory of a run"},
		{[]string{"--help"}, 0, ""}, {[]string{"run", "--help"}, 0, ""}, {[]string{"version"}, 0, ""},
	} {
		var out, errs bytes.Buffer
		if code := run(context.Background(), test.args, strings.NewReader(""), &out, &errs); code != test.code || !strings.Contains(errs.String(), test.err) {
			t.Errorf("%v: %d %s", test.args, code, errs.String())
		}
		if test.code == 0 && (out.Len() == 0 || errs.Len() != 0) || test.code != 0 && out.Len() != 0 {
			t.Errorf("%v: stdout %q, stderr %q", test.args, out.String(), errs.String())
		}
	}
}

// What takes longer than a second says so, and what does not is silent.
func TestSlowness(t *testing.T) {
	for _, test := range []struct {
		takes time.Duration
		lines int
	}{{slow - 1, 0}, {slow + 1, 1}, {2*slow + 1, 2}, {4*slow + 1, 3}} {
		synctest.Test(t, func(t *testing.T) {
			var errs bytes.Buffer
			cmd := &cobra.Command{Use: "coffer"}
			cmd.SetErr(&errs)
			dismiss := reportSlowness(cmd)
			time.Sleep(test.takes) // of the bubble's clock
			dismiss()
			if got := strings.Count(errs.String(), "coffer: still waiting after "); got != test.lines {
				t.Errorf("after %s: %q", test.takes, errs.String())
			}
		})
	}
}
