package seal

import (
	"bytes"
	"fmt"
	"io"

	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/streamingaead"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// A StreamKey seals one archive: a stream of any length, in segments of 1 MiB that
// cannot be altered, reordered, left out or cut off (AES-256-GCM-HKDF by Tink, the
// STREAM construction). It is made for one archive and used once.
type StreamKey struct{ key tink.StreamingAEAD }

// streamKeys is the associated data of the key of an archive, before the installation.
const streamKeys = "coffer archive key 1"

// NewStreamKey makes the key of an archive. sealed is for the archive's header: with the
// keys of what leaves the store it opens again.
func (r *Keyring) NewStreamKey(g Grant) (key StreamKey, sealed []byte, err error) {
	if g.rights < writes {
		return key, nil, ErrNoGrant
	}
	keys, err := r.keys(PurposeBackup)
	if err != nil {
		return key, nil, err
	}
	handle, err := keyset.NewHandle(streamingaead.AES256GCMHKDF1MBKeyTemplate())
	if err != nil {
		return key, nil, err
	}
	var out bytes.Buffer
	if err := handle.WriteWithAssociatedData(keyset.NewBinaryWriter(&out), keys.aead, r.streamData()); err != nil {
		return key, nil, err
	}
	key.key, err = streamingaead.New(handle)
	return key, out.Bytes(), err
}

// OpenStreamKey opens the key in the header of an archive. The error is ErrSealed when
// it was altered, or is of another installation.
func (r *Keyring) OpenStreamKey(g Grant, sealed []byte) (key StreamKey, err error) {
	if g.rights < reads {
		return key, ErrNoGrant
	}
	keys, err := r.keys(PurposeBackup)
	if err != nil {
		return key, err
	}
	handle, err := keyset.ReadWithAssociatedData(keyset.NewBinaryReader(bytes.NewReader(sealed)), keys.aead, r.streamData())
	if err != nil {
		return key, ErrSealed
	}
	key.key, err = streamingaead.New(handle)
	return key, err
}

func (r *Keyring) streamData() []byte {
	return appendField(appendField(nil, streamKeys), r.installation)
}

// Seal returns a writer of the sealed form into w. Header is authenticated with the
// first segment. The stream is whole when Close has returned nil.
func (k StreamKey) Seal(w io.Writer, header []byte) (io.WriteCloser, error) {
	out, err := k.key.NewEncryptingWriter(w, header)
	if err != nil {
		return nil, fmt.Errorf("seal: beginning a stream: %w", err)
	}
	return out, nil
}

// Open returns a reader of what was sealed, which returns nothing that was not
// authenticated. io.EOF means that the stream was whole; any other error, that it was
// not, or that r failed.
func (k StreamKey) Open(r io.Reader, header []byte) (io.Reader, error) {
	in, err := k.key.NewDecryptingReader(r, header)
	if err != nil {
		return nil, fmt.Errorf("%w: the stream cannot be begun: %w", ErrSealed, err)
	}
	return in, nil
}
