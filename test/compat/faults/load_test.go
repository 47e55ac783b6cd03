package faults_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azcertificates"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"coffer/certificates"
)

// A secretState is what a client knows of a secret that it alone writes.
type secretState struct {
	versions map[string]string // values by version, as acknowledged
	current  string            // value
	deleted  bool
	gone     bool // never made, or purged
}

// A change is what a client asked for and was told nothing about: the connection broke,
// or the server said that it does not know.
type change struct {
	kind  string
	value string // of a set
}

// A writer has a secret to itself and remembers what it was told. It stops at the first
// change of unknown outcome, so there is at most one.
type writer struct {
	name    string
	state   secretState
	unknown *change
	refused []error // answers that a healthy server does not give
}

func newWriter(name string) *writer {
	return &writer{name: name, state: secretState{versions: map[string]string{}, gone: true}}
}

// lost reports whether an error leaves open what happened: no answer, or one of a server
// that says that it cannot tell or is going down.
func lost(err error) bool {
	var answer *azcore.ResponseError
	if !errors.As(err, &answer) {
		return true
	}
	return answer.StatusCode == http.StatusServiceUnavailable
}

// run changes the secret until ctx ends or an answer is missing.
func (w *writer) run(ctx context.Context, c *azsecrets.Client, random *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		next, err := w.step(ctx, c, random, n)
		switch {
		case err == nil:
		case lost(err):
			w.unknown = &next
			return
		default:
			w.refused = append(w.refused, fmt.Errorf("%s of %s: %w", next.kind, w.name, err))
			return
		}
	}
}

// step makes one change that the state allows, and takes down what was acknowledged. The
// request is not tied to the load's end: it is the fault that ends it.
func (w *writer) step(_ context.Context, c *azsecrets.Client, random *rand.Rand, n int) (change, error) {
	ctx, s := context.Background(), &w.state
	dice := random.IntN(10)
	switch {
	case s.deleted && dice < 5:
		_, err := c.RecoverDeletedSecret(ctx, w.name, nil)
		s.deleted = s.deleted && err != nil
		return change{kind: "recover"}, err
	case s.deleted:
		_, err := c.PurgeDeletedSecret(ctx, w.name, nil)
		if err == nil {
			*s = secretState{versions: map[string]string{}, gone: true}
		}
		return change{kind: "purge"}, err
	case !s.gone && dice == 0:
		_, err := c.DeleteSecret(ctx, w.name, nil)
		s.deleted = err == nil
		return change{kind: "delete"}, err
	}
	value := fmt.Sprintf("%s/%d/%d", w.name, n, random.Uint64())
	out, err := c.SetSecret(ctx, w.name, azsecrets.SetSecretParameters{Value: &value}, nil)
	if err == nil {
		s.versions[out.ID.Version()], s.current, s.gone = value, value, false
	}
	return change{kind: "set", value: value}, err
}

// verify compares the store with what the writer was told: its state, or that state with
// the one unknown change made, and nothing else.
func (w *writer) verify(t *testing.T, c *azsecrets.Client) {
	t.Helper()
	for _, err := range w.refused {
		t.Error(err)
	}
	found, err := look(c, w.name)
	if err != nil {
		t.Errorf("%s: %v", w.name, err)
		return
	}
	want := []secretState{w.state}
	if w.unknown != nil {
		want = append(want, w.state.after(*w.unknown))
	}
	for _, s := range want {
		if s.matches(found) {
			return
		}
	}
	t.Errorf("%s: found %+v, was told %+v, then unknown %+v", w.name, found, w.state, w.unknown)
}

func (s secretState) after(c change) secretState {
	switch c.kind {
	case "recover":
		s.deleted = false
	case "delete":
		s.deleted = true
	case "purge":
		return secretState{gone: true}
	case "set":
		versions := map[string]string{"": c.value}
		for version, value := range s.versions {
			versions[version] = value
		}
		s.versions, s.current, s.gone = versions, c.value, false
	}
	return s
}

// matches compares all but the version that the client was never told. Of a deleted
// secret only that it is deleted can be seen.
func (s secretState) matches(found secretState) bool {
	if s.gone || s.deleted {
		return found.gone == s.gone && found.deleted == s.deleted
	}
	if found.gone || found.deleted || found.current != s.current || len(found.versions) != len(s.versions) {
		return false
	}
	for version, value := range s.versions {
		if version != "" && found.versions[version] != value {
			return false
		}
	}
	return true
}

// look reads everything of a secret.
func look(c *azsecrets.Client, name string) (secretState, error) {
	ctx, s := context.Background(), secretState{versions: map[string]string{}}
	current, err := c.GetSecret(ctx, name, "", nil)
	if missing(err) {
		_, err := c.GetDeletedSecret(ctx, name, nil)
		s.deleted, s.gone = err == nil, missing(err)
		if missing(err) {
			err = nil
		}
		return s, err
	}
	if err != nil {
		return s, err
	}
	s.current = *current.Value
	for pages := c.NewListSecretPropertiesVersionsPager(name, nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s, err
		}
		for _, p := range page.Value {
			one, err := c.GetSecret(ctx, name, p.ID.Version(), nil)
			if err != nil {
				return s, err
			}
			s.versions[p.ID.Version()] = *one.Value
		}
	}
	return s, nil
}

func missing(err error) bool {
	var answer *azcore.ResponseError
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound
}

// An issuer makes versions of a certificate that it alone writes, and remembers which were
// begun and which were said to be issued.
type issuer struct {
	name    string
	begun   int      // creates that were acknowledged with 202
	maybe   bool     // one more create has no known outcome
	issued  []string // versions
	refused []error
}

func ec() azcertificates.CreateCertificateParameters {
	policy := certificates.DefaultPolicy()
	policy.KeyProperties = &azcertificates.KeyProperties{KeyType: ptr(azcertificates.KeyTypeEC), Curve: ptr(azcertificates.CurveNameP256), Exportable: ptr(true)}
	return azcertificates.CreateCertificateParameters{CertificatePolicy: &policy}
}

func ptr[T any](v T) *T { return &v }

func (i *issuer) run(ctx context.Context, c *certificates.Client) {
	for ctx.Err() == nil {
		poller, err := c.BeginCreateCertificate(context.Background(), i.name, ec(), nil)
		if err != nil {
			i.maybe = lost(err)
			i.note(err)
			return
		}
		i.begun++
		out, err := poller.PollUntilDone(context.Background(), nil)
		if err != nil {
			i.note(err)
			return
		}
		i.issued = append(i.issued, out.ID.Version())
	}
}

func (i *issuer) note(err error) {
	if !lost(err) {
		i.refused = append(i.refused, fmt.Errorf("%s: %w", i.name, err))
	}
}

// verify waits for what was begun and finds every version that was issued, each with its
// key and its secret.
func (i *issuer) verify(t *testing.T, c clients) {
	t.Helper()
	for _, err := range i.refused {
		t.Error(err)
	}
	if i.begun == 0 && !i.maybe {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.patience)
	defer cancel()
	for ; ; time.Sleep(20 * time.Millisecond) {
		op, err := c.certificates.GetCertificateOperation(ctx, i.name, nil)
		if missing(err) && i.begun == 0 {
			return
		}
		if err != nil {
			t.Errorf("%s: %v", i.name, err)
			return
		}
		if *op.Status == "completed" {
			break
		}
	}
	found := map[string]bool{}
	for pages := c.certificates.NewListCertificatePropertiesVersionsPager(i.name, nil); pages.More(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Errorf("%s: %v", i.name, err)
			return
		}
		for _, p := range page.Value {
			found[p.ID.Version()] = true
			if _, err := c.secrets.GetSecret(ctx, i.name, p.ID.Version(), nil); err != nil {
				t.Errorf("the secret of %s/%s: %v", i.name, p.ID.Version(), err)
			}
		}
	}
	most := i.begun
	if i.maybe {
		most++
	}
	if len(found) < i.begun || len(found) > most {
		t.Errorf("%s: %d versions, %d creates were acknowledged, one more unknown: %v", i.name, len(found), i.begun, i.maybe)
	}
	for _, version := range i.issued {
		if !found[version] {
			t.Errorf("%s: version %s was issued and is not there", i.name, version)
		}
	}
}

// A load is the clients of one round.
type load struct {
	writers []*writer
	issuers []*issuer
	shared  *history
	cancel  context.CancelFunc
	group   sync.WaitGroup
}

// begin starts the clients. They end by themselves when the server is gone, or by end.
func begin(c clients, round, writers, issuers, sharing int) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{cancel: cancel, shared: newHistory()}
	for n := range writers {
		w := newWriter(named("own", round, n))
		l.writers = append(l.writers, w)
		random := rand.New(rand.NewPCG(uint64(round), uint64(n)))
		l.group.Go(func() { w.run(ctx, c.secrets, random) })
	}
	for n := range issuers {
		i := &issuer{name: named("cert", round, n)}
		l.issuers = append(l.issuers, i)
		l.group.Go(func() { i.run(ctx, c.certificates) })
	}
	for n := range sharing {
		l.group.Go(func() { l.shared.run(ctx, c.secrets, n, round) })
	}
	return l
}

// end lets the clients finish what they have begun.
func (l *load) end() {
	l.cancel()
	l.group.Wait()
}

func (l *load) verify(t *testing.T, c clients) {
	t.Helper()
	for _, w := range l.writers {
		w.verify(t, c.secrets)
	}
	for _, i := range l.issuers {
		i.verify(t, c)
	}
	l.shared.verify(t, c.secrets)
}

// acknowledged counts the changes that clients were told of.
func (l *load) acknowledged() (n int) {
	for _, w := range l.writers {
		n += len(w.state.versions)
	}
	for _, i := range l.issuers {
		n += len(i.issued)
	}
	return n + len(l.shared.operations)
}
