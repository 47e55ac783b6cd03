package compat_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"coffer/coffertest"
)

// A step is what a client did with a secret, and what it was told.
type step struct {
	set     bool
	name    string
	value   string // set, or told
	version string // told
}

// register is a secret as one would have it: the last value set is the one that is read,
// with its version, and no version is given out twice.
func register() porcupine.Model {
	type state struct{ value, version string }
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			byName := map[string][]porcupine.Operation{}
			for _, op := range history {
				name := op.Input.(step).name
				byName[name] = append(byName[name], op)
			}
			var out [][]porcupine.Operation
			for _, ops := range byName {
				out = append(out, ops)
			}
			return out
		},
		Init: func() any { return state{} },
		Step: func(s, input, output any) (bool, any) {
			in, told := input.(step), output.(step)
			if in.set {
				return told.value == in.value, state{told.value, told.version}
			}
			return told.value == s.(state).value && told.version == s.(state).version, s
		},
	}
}

// With 64 writers, on 64 names and on 8, and with 8 on one, nothing fails, nothing is
// lost, and the order of what clients were told can be explained. More writers on one name
// are more than the check can try in a lifetime; TestManyWriters has them.
func TestLinearizable(t *testing.T) {
	for _, test := range []struct{ writers, names int }{{64, 64}, {64, 8}, {8, 1}} {
		t.Run(fmt.Sprintf("%d writers, %d names", test.writers, test.names), func(t *testing.T) { linearizable(t, test.writers, test.names) })
	}
}

// With 64 writers on one name, every write that was acknowledged is there as a version of
// its own, with its value.
func TestManyWriters(t *testing.T) {
	server := coffertest.New(t)
	client, err := azsecrets.NewClient(server.VaultURL("demo"), server.Credential(), &azsecrets.ClientOptions{ClientOptions: server.ClientOptions()})
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	var mu sync.Mutex
	written := map[string]string{}
	var group sync.WaitGroup
	for w := range 64 {
		group.Go(func() {
			for r := range 8 {
				value := fmt.Sprintf("%d-%d", w, r)
				out, err := set(ctx, client, "s", value)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				written[out.version] = value
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(written) != 64*8 {
		t.Errorf("%d versions were given out", len(written))
	}
	for version, value := range written {
		if out, err := client.GetSecret(ctx, "s", version, nil); err != nil || *out.Value != value {
			t.Errorf("version %s: %v", version, err)
		}
	}
}

func linearizable(t *testing.T, writers, names int) {
	server := coffertest.New(t)
	client, err := azsecrets.NewClient(server.VaultURL("demo"), server.Credential(), &azsecrets.ClientOptions{ClientOptions: server.ClientOptions()})
	if err != nil {
		t.Fatal(err)
	}
	const readers, rounds = 8, 6
	var mu sync.Mutex
	var history []porcupine.Operation
	versions := map[string]bool{}
	start := time.Now()
	record := func(writer int, in step, run func() (step, error)) {
		call := time.Since(start).Nanoseconds()
		out, err := run()
		back := time.Since(start).Nanoseconds()
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			t.Errorf("%+v: %v", in, err)
			return
		}
		if in.set && versions[out.version] {
			t.Errorf("version %s was given out twice", out.version)
		}
		versions[out.version] = versions[out.version] || in.set
		history = append(history, porcupine.Operation{ClientId: writer, Input: in, Call: call, Output: out, Return: back})
	}
	ctx := context.Background()
	for n := range names { // so that every read finds something
		name := fmt.Sprintf("s%d", n)
		record(0, step{set: true, name: name, value: "first"}, func() (step, error) { return set(ctx, client, name, "first") })
	}
	// Rounds, so that the check, which tries orders, comes to an end: all write at once, and
	// then some read at once.
	for r := range rounds {
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				name, value := fmt.Sprintf("s%d", (w+r)%names), fmt.Sprintf("%d-%d", w, r)
				record(w+1, step{set: true, name: name, value: value}, func() (step, error) { return set(ctx, client, name, value) })
			})
		}
		group.Wait()
		for w := range readers {
			group.Go(func() {
				name := fmt.Sprintf("s%d", (w+r)%names)
				record(w+1, step{name: name}, func() (step, error) { return get(ctx, client, name) })
			})
		}
		group.Wait()
	}
	if len(history) < (writers+readers)*rounds {
		t.Fatalf("only %d operations succeeded", len(history))
	}
	if result := porcupine.CheckOperationsTimeout(register(), history, time.Minute); result != porcupine.Ok {
		t.Errorf("the history of %d operations is %v", len(history), result)
	}
}

func set(ctx context.Context, client *azsecrets.Client, name, value string) (step, error) {
	out, err := client.SetSecret(ctx, name, azsecrets.SetSecretParameters{Value: &value}, nil)
	return told(name, out.Secret, err)
}

func get(ctx context.Context, client *azsecrets.Client, name string) (step, error) {
	out, err := client.GetSecret(ctx, name, "", nil)
	return told(name, out.Secret, err)
}

func told(name string, s azsecrets.Secret, err error) (step, error) {
	if err != nil {
		return step{}, err
	}
	return step{name: name, value: *s.Value, version: s.ID.Version()}, nil
}
