package faults_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"
)

// perName is how many operations on one shared secret are checked: porcupine tries orders,
// whose number grows with those that overlap.
const perName = 60

// A step is what a client did with a shared secret; what it was told has the same form.
// The version is empty where it was never told.
type step struct {
	set            bool
	name           string
	value, version string
}

// A history is what several clients did with the same secrets at once.
type history struct {
	mu         sync.Mutex
	start      time.Time
	operations []porcupine.Operation
	counts     map[string]int
	refused    []error
}

func newHistory() *history { return &history{start: time.Now(), counts: map[string]int{}} }

// run sets and reads two secrets of the round in turn.
func (h *history) run(ctx context.Context, c *azsecrets.Client, client, round int) {
	for n := 0; ctx.Err() == nil; n++ {
		in := step{set: (n+client)%2 == 0, name: named("shared", round, n%2)}
		if in.set {
			in.value = fmt.Sprintf("%d/%d/%d", round, client, n)
		}
		if !h.do(c, client, in) {
			return
		}
	}
}

// do takes down one operation; false means that the client ends.
func (h *history) do(c *azsecrets.Client, client int, in step) bool {
	h.mu.Lock()
	full := h.counts[in.name] >= perName
	h.counts[in.name]++
	h.mu.Unlock()
	if full {
		return false
	}
	op := porcupine.Operation{ClientId: client, Input: in, Call: time.Since(h.start).Nanoseconds()}
	out, err := tell(c, in)
	op.Output, op.Return = out, time.Since(h.start).Nanoseconds()
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err == nil:
	case !lost(err):
		h.refused = append(h.refused, fmt.Errorf("%+v: %w", in, err))
		return false
	case !in.set:
		return false // a read that was not answered says nothing
	default:
		op.Output, op.Return = step{value: in.value}, math.MaxInt64/2 // at any time from now on, or never
	}
	h.operations = append(h.operations, op)
	return err == nil
}

func tell(c *azsecrets.Client, in step) (step, error) {
	ctx := context.Background()
	if in.set {
		out, err := c.SetSecret(ctx, in.name, azsecrets.SetSecretParameters{Value: &in.value}, nil)
		if err != nil {
			return step{}, err
		}
		return step{value: *out.Value, version: out.ID.Version()}, nil
	}
	out, err := c.GetSecret(ctx, in.name, "", nil)
	if missing(err) {
		return step{}, nil
	}
	if err != nil {
		return step{}, err
	}
	return step{value: *out.Value, version: out.ID.Version()}, nil
}

// model is a secret as one would have it: what was set last is what is read.
var model = porcupine.Model{
	Partition: func(all []porcupine.Operation) [][]porcupine.Operation {
		byName := map[string][]porcupine.Operation{}
		for _, op := range all {
			name := op.Input.(step).name
			byName[name] = append(byName[name], op)
		}
		var out [][]porcupine.Operation
		for _, ops := range byName {
			out = append(out, ops)
		}
		return out
	},
	Init: func() any { return step{} },
	Step: func(state, input, output any) (bool, any) {
		s, in, told := state.(step), input.(step), output.(step)
		if in.set {
			return told.value == in.value, step{value: told.value, version: told.version}
		}
		same := s.value == told.value && (s.version == told.version || s.version == "")
		return same, step{value: s.value, version: told.version}
	},
}

// verify reads the secrets once more and looks for an order that explains everything.
func (h *history) verify(t *testing.T, c *azsecrets.Client) {
	t.Helper()
	for _, err := range h.refused {
		t.Error(err)
	}
	for name := range h.counts {
		h.counts[name] = 0
		if !h.do(c, -1, step{name: name}) {
			t.Errorf("%s could not be read afterwards", name)
		}
	}
	if result := porcupine.CheckOperationsTimeout(model, h.operations, 20*time.Second); result == porcupine.Illegal {
		t.Errorf("no order explains what clients were told of %d operations: %+v", len(h.operations), h.operations)
	} else if result == porcupine.Unknown {
		t.Logf("a history of %d operations was too long to check", len(h.operations))
	}
}
