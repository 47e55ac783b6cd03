package seal_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"testing"

	"coffer/internal/seal"
)

// A key that another keyring of the installation has added is fetched when a box needs it,
// before the box is said not to open.
func TestUnknownKeyIsFetched(t *testing.T) {
	ring, granter, root, wrapped := newRing(t)
	other, _, err := seal.Open(root, "installation-1", wrapped)
	if err != nil {
		t.Fatal(err)
	}
	added, err := ring.AddKey(root, seal.Records)
	if err != nil {
		t.Fatal(err)
	}
	if got := ring.Keys(seal.Records); len(got.All) != 1 {
		t.Errorf("a key that was not stored is in use: %+v", got)
	}
	if err := ring.Load(root, seal.Records, added); err != nil {
		t.Fatal(err)
	}
	box, err := ring.Seal(granter.Write(), place, []byte("new"))
	if err != nil {
		t.Fatal(err)
	}
	if id, ok := seal.KeyOf(box); !ok || id != ring.Keys(seal.Records).Primary {
		t.Errorf("the box says %08x", id)
	}
	if _, _, err := other.Open(granter.Read(), place, box); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("without the key: %v", err)
	}
	asked := 0
	broken := errors.New("the store is away")
	other.OnUnknownKey(func() error { asked++; return broken })
	if _, _, err := other.Open(granter.Read(), place, box); !errors.Is(err, broken) || errors.Is(err, seal.ErrSealed) {
		t.Errorf("while the store is away: %v", err)
	}
	other.OnUnknownKey(func() error { asked++; return other.Load(root, seal.Records, added) })
	if plain, _, err := other.Open(granter.Read(), place, box); err != nil || string(plain) != "new" {
		t.Errorf("%q, %v", plain, err)
	}
	if _, _, err := other.Open(granter.Read(), place, box); err != nil || asked != 2 {
		t.Errorf("asked %d times: %v", asked, err)
	}
}

// What anybody can send has the keys read again once in a while only.
func TestTokensDoNotHaveTheKeysReadAgain(t *testing.T) {
	ring, granter, _, _ := newRing(t)
	token := seal.Place{Purpose: seal.PurposeRefresh, Kind: "user", Format: 1}
	asked := 0
	ring.OnUnknownKey(func() error { asked++; return nil })
	for range 100 {
		if _, _, err := ring.Open(granter.Read(), token, []byte("\x01\x01\x00\x01\xff\xff\xff\xffmade up")); !errors.Is(err, seal.ErrSealed) {
			t.Fatal(err)
		}
	}
	if asked == 0 || asked > 50 {
		t.Errorf("asked %d times", asked)
	}
}

// Old boxes open while keys are added and the keyset is loaded, until their key is dropped.
func TestOldBoxesOpen(t *testing.T) {
	ring, granter, root, _ := newRing(t)
	box, err := ring.Seal(granter.Write(), place, []byte("old"))
	if err != nil {
		t.Fatal(err)
	}
	first := ring.Keys(seal.Records).Primary
	if _, err := ring.DropKey(root, seal.Records, first); err == nil {
		t.Error("the primary key was dropped")
	}
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if plain, _, err := ring.Open(granter.Read(), place, box); err != nil || string(plain) != "old" {
					t.Errorf("%q, %v", plain, err)
					return
				}
			}
		})
	}
	for range 5 {
		wrapped, err := ring.AddKey(root, seal.Records)
		if err == nil {
			err = ring.Load(root, seal.Records, wrapped)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
	next, _ := seal.NewRootKey(rand.Reader)
	wrapped, err := ring.Rewrap(next, seal.Records)
	if err != nil {
		t.Fatal(err)
	}
	if err := ring.Load(root, seal.Records, wrapped); !errors.Is(err, seal.ErrRootKey) {
		t.Errorf("the old root key: %v", err)
	}
	dropped, err := ring.DropKey(next, seal.Records, first)
	if err == nil {
		err = ring.Load(next, seal.Records, dropped)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring.Open(granter.Read(), place, box); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("after the key was dropped: %v", err)
	}
}

// A stream opens whole or not, with its own header, key and installation.
func TestStream(t *testing.T) {
	ring, granter, root, _ := newRing(t)
	if _, err := ring.CreateBlobs(root); err != nil {
		t.Fatal(err)
	}
	if _, _, err := ring.NewStreamKey(granter.Read()); !errors.Is(err, seal.ErrNoGrant) {
		t.Error(err)
	}
	key, sealed, err := ring.NewStreamKey(granter.Write())
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w, err := key.Seal(&out, []byte("header"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 3<<20)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	read := func(text []byte, header string) error {
		again, err := ring.OpenStreamKey(granter.Read(), sealed)
		if err != nil {
			return err
		}
		r, err := again.Open(bytes.NewReader(text), []byte(header))
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		return err
	}
	if err := read(out.Bytes(), "header"); err != nil {
		t.Fatal(err)
	}
	whole := out.Bytes()
	swapped := bytes.Clone(whole)
	copy(swapped[1<<20:], whole[2<<20:3<<20])
	copy(swapped[2<<20:], whole[1<<20:2<<20])
	for name, text := range map[string][]byte{"cut": whole[:len(whole)-1], "a segment less": whole[:2<<20], "swapped": swapped, "empty": nil} {
		if read(text, "header") == nil {
			t.Errorf("%s: it was read", name)
		}
	}
	if read(whole, "Header") == nil {
		t.Error("with another header it was read")
	}
	sealed[len(sealed)-1] ^= 1
	if err := read(whole, "header"); !errors.Is(err, seal.ErrSealed) {
		t.Errorf("an altered key: %v", err)
	}
}
