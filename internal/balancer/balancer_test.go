package balancer_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"coffer/internal/balancer"
)

const signature = "\r\n\r\n\x00\r\nQUIT\n"

// header makes a header; crc adds a checksum, right or wrong.
func header(command, family byte, payload string, crc string) []byte {
	if crc != "" {
		payload += "\x03\x00\x04\x00\x00\x00\x00"
	}
	out := append([]byte(signature), command, family)
	out = binary.BigEndian.AppendUint16(out, uint16(len(payload)))
	out = append(out, payload...)
	if crc != "" {
		sum := crc32.Checksum(out, crc32.MakeTable(crc32.Castagnoli))
		if crc == "wrong" {
			sum++
		}
		binary.BigEndian.PutUint32(out[len(out)-4:], sum)
	}
	return out
}

const (
	tcp4 = "\xc0\x00\x02\x01\x7f\x00\x00\x01\x30\x39\x01\xbb"
	tcp6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x30\x39\x01\xbb"
)

func TestReadHeader(t *testing.T) {
	for _, c := range []struct {
		name string
		text []byte
		want string // empty: refused
	}{
		{"IPv4", header(0x21, 0x11, tcp4, ""), "192.0.2.1:12345"},
		{"IPv6", header(0x21, 0x21, tcp6, ""), "[2001:db8::1]:12345"},
		{"an extension", header(0x21, 0x11, tcp4+"\x04\x00\x02ab", ""), "192.0.2.1:12345"},
		{"a checksum", header(0x21, 0x11, tcp4, "right"), "192.0.2.1:12345"},
		{"the balancer's own", header(0x20, 0x00, "", ""), "invalid AddrPort"},
		{"its own, with something", header(0x20, 0x11, "whatever", ""), "invalid AddrPort"},
		{"a wrong checksum", header(0x21, 0x11, tcp4, "wrong"), ""},
		{"a short checksum", header(0x21, 0x11, tcp4+"\x03\x00\x01a", ""), ""},
		{"a torn extension", header(0x21, 0x11, tcp4+"\x04\x00", ""), ""},
		{"an extension that is too long", header(0x21, 0x11, tcp4+"\x04\x00\x09a", ""), ""},
		{"short addresses", header(0x21, 0x11, tcp4[:11], ""), ""},
		{"IPv6 with addresses of IPv4", header(0x21, 0x21, tcp4, ""), ""},
		{"UDP", header(0x21, 0x12, tcp4, ""), ""},
		{"a socket", header(0x21, 0x31, strings.Repeat("a", 216), ""), ""},
		{"no family", header(0x21, 0x00, "", ""), ""},
		{"version 1 in version 2", header(0x11, 0x11, tcp4, ""), ""},
		{"another command", header(0x22, 0x11, tcp4, ""), ""},
		{"too long", header(0x21, 0x11, tcp4+strings.Repeat("\x04\x00\x00", 1000), ""), ""},
		{"version 1", []byte("PROXY TCP4 192.0.2.1 127.0.0.1 12345 443\r\n"), ""},
		{"TLS", []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaa"), ""},
		{"cut", header(0x21, 0x11, tcp4, "")[:20], ""},
		{"nothing", nil, ""},
	} {
		in := bytes.NewReader(append(bytes.Clone(c.text), "rest"...))
		if c.name == "cut" || c.name == "nothing" {
			in = bytes.NewReader(c.text)
		}
		source, err := balancer.ReadHeader(in)
		switch {
		case c.want == "":
			if !errors.Is(err, balancer.ErrHeader) {
				t.Errorf("%s: %v, %v", c.name, source, err)
			}
		case err != nil || source.String() != c.want:
			t.Errorf("%s: %v, %v", c.name, source, err)
		default:
			if rest, _ := io.ReadAll(in); string(rest) != "rest" {
				t.Errorf("%s: %q is left", c.name, rest)
			}
		}
	}
}

// listen takes one connection, and returns what it says of itself.
func listen(t *testing.T, trusted string, send []byte) (remote string, text string, err error) {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	client, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.Write(send); err != nil {
		t.Fatal(err)
	}
	_ = client.(*net.TCPConn).CloseWrite()
	conn, err := balancer.Listener{Listener: inner, Trusted: []netip.Prefix{netip.MustParsePrefix(trusted)}, Timeout: time.Minute}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	remote = conn.RemoteAddr().String()
	body, err := io.ReadAll(conn)
	return remote, string(body), err
}

func TestListener(t *testing.T) {
	text := append(header(0x21, 0x11, tcp4, ""), "hello"...)
	if remote, body, err := listen(t, "127.0.0.0/8", text); err != nil || remote != "192.0.2.1:12345" || body != "hello" {
		t.Errorf("%s, %q, %v", remote, body, err)
	}
	// Whoever is no balancer cannot name an address: the header is just bytes.
	if remote, body, err := listen(t, "192.0.2.0/24", text); err != nil || !strings.HasPrefix(remote, "127.0.0.1:") || body != string(text) {
		t.Errorf("%s, %q, %v", remote, body, err)
	}
	// A balancer has to send one.
	if _, body, err := listen(t, "127.0.0.1/32", []byte("GET / HTTP/1.1\r\n\r\n")); err == nil || body != "" {
		t.Errorf("%q, %v", body, err)
	}
}

// A balancer that says nothing is given up, and holds up nobody else.
func TestSilentBalancer(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	client, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	conn, err := balancer.Listener{Listener: inner, Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Timeout: time.Millisecond}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, balancer.ErrHeader) {
		t.Errorf("%v", err)
	}
}

// FuzzReadHeader checks that what is taken is a header as the balancers write them, and
// that nothing behind it is touched.
func FuzzReadHeader(f *testing.F) {
	f.Add(header(0x21, 0x11, tcp4, "right"))
	f.Add(header(0x21, 0x21, tcp6+"\x04\x00\x01a", ""))
	f.Add(header(0x20, 0x00, "", ""))
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bytes.NewReader(text)
		source, err := balancer.ReadHeader(in)
		if err != nil {
			if source.IsValid() {
				t.Fatal("refused, and a source all the same")
			}
			return
		}
		read := len(text) - in.Len()
		if read != 16+int(binary.BigEndian.Uint16(text[14:])) || !bytes.HasPrefix(text, []byte(signature)) {
			t.Fatalf("%d bytes read", read)
		}
		if text[12] == 0x20 && source.IsValid() || text[12] == 0x21 && !source.IsValid() {
			t.Fatalf("%v", source)
		}
	})
}
