package seal

import (
	"fmt"
	"io"
	"os"
)

// ReadPrivateFile reads a file that holds a secret, of at most limit bytes. It has to be its
// owner's alone (mode 0600 or less). One that root owns and another user reads may be read
// by its group as well (0640): so it is with secrets that Kubernetes mounts, and PostgreSQL
// has the same rule for its private key. A pipe or a device has no such mode, and is read
// as it is. Windows has no modes: there the file's access list decides.
//
//	text, err := seal.ReadPrivateFile("/etc/coffer/client-secret", 4096)
//	// others can read /etc/coffer/client-secret (mode 0644); run: chmod 600 …
func ReadPrivateFile(path string, limit int) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().IsRegular() && info.Mode().Perm()&forbidden(info) != 0 {
		return nil, fmt.Errorf("others can read %s (mode %04o); run: chmod 600 %s", path, info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(file, int64(limit)+1))
	if err != nil {
		return nil, err
	}
	if len(text) > limit {
		return nil, fmt.Errorf("%s has more than the %d bytes that such a file can have", path, limit)
	}
	return text, nil
}
