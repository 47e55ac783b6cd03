package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// The commands that look after an installation, as their users call them.
func TestKeeperScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/keeper", RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"mode": fileMode, "status": exitStatus},
	})
}
