package gate

import (
	"context"
	"strings"

	"coffer/internal/seal"
	"coffer/internal/store"
)

// Place is where a sealed record of this room belongs; ok is false if key is of no such
// record.
func Place(key store.Key) (place seal.Place, ok bool) { return keyPlace(), key == auditKey }

// Check reports what is wrong with the record at key, if it is one of this room: known is
// false otherwise. The heads of the audit chain are not sealed; the key is.
func (g *Gate) Check(rec store.Record) (known bool, problem string) {
	switch {
	case rec.Key == auditKey:
		if _, err := g.config.chainKey(context.Background(), rec); err != nil {
			return true, err.Error()
		}
		return true, ""
	case strings.HasPrefix(string(rec.Key), string(auditHeads)):
		of := g.config
		of.Node = string(rec.Key[len(auditHeads):])
		if _, err := of.head(rec); err != nil {
			return true, err.Error()
		}
		return true, ""
	}
	return false, ""
}
