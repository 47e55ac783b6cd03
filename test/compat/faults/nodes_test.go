package faults_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/cloud"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"coffer/internal/store/postgres/pgtest"
)

// nodeKills is how often one of three nodes is killed.
const nodeKills = 5

// A fleet is nodes of one installation in one database, in front of which clients are led to
// one after the other, as by a balancer.
type fleet struct {
	nodes []*installation
	next  atomic.Int64
}

// newFleet makes an installation, and of its directory those of two more nodes, as
// docs/operating.md says.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	first := installIn(t, t.TempDir(), pgtest.Start(t).Database())
	f := &fleet{nodes: []*installation{first}}
	for _, name := range []string{"b", "c"} {
		f.nodes = append(f.nodes, f.add(t, name))
	}
	for _, n := range f.nodes {
		n.start(t)
	}
	return f
}

func (f *fleet) add(t *testing.T, name string) *installation {
	t.Helper()
	first := f.nodes[0]
	n := &installation{dir: t.TempDir(), address: freeAddress(t), made: first.made, roots: first.roots}
	for _, file := range []string{"coffer.yaml", "root.key", "ca.pem", "ca.key"} {
		text, err := os.ReadFile(filepath.Join(first.dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if file == "coffer.yaml" { // behind a balancer all have one public port
			text = []byte("node: " + name + "\n" + strings.Replace(string(text), "listen: "+first.address, "listen: "+n.address+"\npublic_port: \""+port(first.address)+"\"", 1))
		}
		if err := os.WriteFile(filepath.Join(n.dir, file), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { n.kill(t) })
	return n
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// transport leads each connection to the next node that takes it.
func (f *fleet) transport() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: f.nodes[0].roots}, MaxIdleConnsPerHost: 64, MaxConnsPerHost: 0,
		DialContext: func(ctx context.Context, network, _ string) (conn net.Conn, err error) {
			for range f.nodes {
				node := f.nodes[int(f.next.Add(1))%len(f.nodes)]
				if conn, err = (&net.Dialer{}).DialContext(ctx, network, node.address); err == nil {
					return conn, nil
				}
			}
			return nil, err
		},
	}}
}

// Whatever a client was told by one node is true on all, while nodes are killed: the histories
// of clients that use all three are those of one vault, jobs that a dead node had begun are
// ended, and no version is lost or doubled.
func TestKilledNodesOfThree(t *testing.T) {
	f := newFleet(t)
	c := (&installation{made: f.nodes[0].made, dial: f.transport}).clients(t)
	c.patience = 5 * time.Minute // what a dead node had leased, another takes after a minute and a half
	random := rand.New(rand.NewPCG(3, 4))
	told := 0
	for round := range nodeKills {
		l := begin(c, round, 6, 2, 6)
		time.Sleep(time.Duration(20+random.IntN(180)) * time.Millisecond)
		victim := f.nodes[random.IntN(len(f.nodes))]
		victim.kill(t)
		time.Sleep(time.Duration(random.IntN(100)) * time.Millisecond) // the others go on
		l.end()
		c.http.CloseIdleConnections()
		l.verify(t, c) // by the nodes that are left
		told += l.acknowledged()
		victim.start(t)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	f.check(t)
	t.Logf("%d kills, %d changes and reads acknowledged", nodeKills, told)
}

// check has coffer check read everything.
func (f *fleet) check(t *testing.T) {
	t.Helper()
	out, err := exec.Command(binary, "check", "--config", filepath.Join(f.nodes[1].dir, "coffer.yaml")).CombinedOutput()
	if err != nil {
		t.Errorf("coffer check: %v\n%s", err, out)
	}
}

// While one node after the other is stopped and started again, no client that retries as the
// SDKs do sees any failure.
func TestRollingRestart(t *testing.T) {
	f := newFleet(t)
	http := f.transport()
	options := azcore.ClientOptions{Transport: http, Cloud: cloud.Configuration{ActiveDirectoryAuthorityHost: f.nodes[0].made.AuthorityHost}, Retry: policy.RetryOptions{RetryDelay: 50 * time.Millisecond}}
	credential, err := azidentity.NewEnvironmentCredential(&azidentity.EnvironmentCredentialOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := azsecrets.NewClient(f.nodes[0].made.VaultURLs[0], credential, &azsecrets.ClientOptions{ClientOptions: options})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(http.CloseIdleConnections)
	ctx, stop := context.WithCancel(context.Background())
	var load sync.WaitGroup
	var done atomic.Int64
	for i := range 6 {
		load.Go(func() {
			name := fmt.Sprint("rolling-", i)
			for n := 0; ctx.Err() == nil; n++ {
				value := fmt.Sprint(n)
				if _, err := secrets.SetSecret(context.Background(), name, azsecrets.SetSecretParameters{Value: &value}, nil); err != nil {
					t.Errorf("set %s: %v", name, err)
					return
				}
				got, err := secrets.GetSecret(context.Background(), name, "", nil)
				if err != nil || *got.Value != value {
					t.Errorf("get %s: %v", name, err)
					return
				}
				done.Add(2)
			}
		})
	}
	for range 2 {
		for _, n := range f.nodes {
			before := done.Load()
			n.stop(t)
			n.start(t)
			for until := time.Now().Add(time.Minute); done.Load() < before+20 && !t.Failed() && time.Now().Before(until); {
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
	stop()
	load.Wait()
	f.check(t)
	t.Logf("%d requests, 6 restarts", done.Load())
}

// freeAddress is one of the loopback that nothing listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
