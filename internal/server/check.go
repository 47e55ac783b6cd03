package server

import (
	"context"
	"math"
	"strings"
	"time"

	"coffer/internal/gate"
	"coffer/internal/seal"
	"coffer/internal/store"
	"coffer/internal/vault"
)

// VerbCheck is `coffer check`.
const VerbCheck = "check"

// maxFindings bounds what a check tells and keeps.
const maxFindings = 10_000

// A Checked is what came of a check.
type Checked struct {
	Records  int       `json:"records"`  // that were opened
	Due      int       `json:"due"`      // due rows that were looked at
	Findings []Finding `json:"findings"` // empty: all is well
	More     bool      `json:"more,omitempty"`
}

// A Finding is one thing that is wrong.
type Finding struct {
	Key      string `json:"key"`
	Problem  string `json:"problem"`
	Repair   string `json:"repair"` // "", "possible", "done" or "failed"
	repairer func(store.Tx) error
}

// The values of Finding.Repair.
const (
	repairPossible = "possible"
	repairDone     = "done"
	repairFailed   = "failed"
)

// Wrong reports whether something is left that is wrong.
func (c Checked) Wrong() bool {
	for _, f := range c.Findings {
		if f.Repair != repairDone {
			return true
		}
	}
	return c.More
}

var storeCheck = gate.Operation{Name: "StoreCheck"}

// check reads everything in one snapshot, and repairs what can be derived from the rest.
func (c *Core) check(ctx context.Context, repair bool) (out Checked, err error) {
	out.Findings = []Finding{}
	err = c.Gate.System(ctx, operator, storeCheck, gate.Subject{}, func(g seal.Grant) error {
		if err := c.Store.View(ctx, func(tx store.Tx) error { return c.checkAll(ctx, tx, g, &out) }); err != nil {
			return err
		}
		for i := range out.Findings {
			f := &out.Findings[i]
			if f.repairer == nil {
				continue
			}
			if f.Repair = repairPossible; !repair {
				continue
			}
			if f.Repair = repairDone; c.Store.Update(ctx, f.repairer) != nil {
				f.Repair = repairFailed
			}
		}
		return nil
	})
	return out, err
}

func (c *Core) checkAll(ctx context.Context, tx store.Tx, g seal.Grant, out *Checked) error {
	due, err := dueRows(tx)
	if err != nil {
		return err
	}
	report := func(key store.Key, problem string, repair func(store.Tx) error) {
		if out.More = len(out.Findings) == maxFindings; !out.More {
			out.Findings = append(out.Findings, Finding{Key: string(key), Problem: problem, repairer: repair})
		}
	}
	vaults := c.Vaults.NewCheck(tx, g, due, report)
	if err := eachRecord(ctx, tx, func(rec store.Record) error {
		out.Records++
		return c.checkRecord(vaults, rec, report)
	}); err != nil {
		return err
	}
	for key := range due {
		out.Due++
		known, err := vaults.Due(key)
		if err != nil {
			return err
		}
		if !known {
			report(key, "the due row is of no kind that this version of Coffer knows", nil)
		}
	}
	return c.Tenant.Check(tx, func(key store.Key, problem string) { report(key, problem, nil) })
}

// dueRows reads all due rows of a snapshot.
func dueRows(tx store.Tx) (map[store.Key]time.Time, error) {
	rows, err := tx.Due(farFuture, math.MaxInt32)
	due := make(map[store.Key]time.Time, len(rows))
	for _, row := range rows {
		due[row.Key] = row.At
	}
	return due, err
}

// farFuture is later than every due row.
var farFuture = time.Unix(math.MaxInt64/2000, 0)

// checkRecord has the room of a record look at it; the directory is looked at as a whole.
func (c *Core) checkRecord(vaults *vault.Check, rec store.Record, report vault.Report) error {
	switch known, problem := c.Gate.Check(rec); {
	case known && problem != "":
		report(rec.Key, problem, nil)
		return nil
	case known:
		return nil
	}
	switch {
	case rec.Key == installationKey:
		if _, err := parseInstallation(rec.Body); err != nil {
			report(rec.Key, err.Error(), nil)
		}
		return nil
	case strings.HasPrefix(string(rec.Key), string(nodePrefix)): // of a node that runs, or died
		return nil
	case rec.Key == counterKey:
		if _, err := c.openCounter(rec); err != nil {
			report(rec.Key, err.Error(), nil)
		}
		return nil
	case strings.HasPrefix(string(rec.Key), "t/"):
		return nil
	}
	known, err := vaults.Record(rec)
	if err == nil && !known {
		report(rec.Key, "it is of no kind that this version of Coffer knows", nil)
	}
	return err
}
