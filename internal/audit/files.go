package audit

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A Chain is what the logs of an installation are verified with.
type Chain struct {
	Key   []byte `json:"key"`   // whoever has it can also write lines that verify
	Heads []Head `json:"heads"` // the end of each node's log when this was read
}

// A Source is one file of a log.
type Source struct {
	Name string
	Text io.Reader
}

// A FileReport is what VerifyFiles found in one file.
type FileReport struct {
	Name string
	Report
	Err error // where its chain breaks; nil: nowhere
}

// VerifyFiles verifies the files of one or more nodes, given in any order: each by
// itself, and then that each goes on where the one before it ends. kept are the heads
// from elsewhere: the line of that number has to be that line, and there have to be at
// least so many. The reports are in the order of nodes and lines. The errors name every
// file in which something was removed, altered or reordered; lines before the first
// file are not missed (see First of the first report), because old files expire.
func VerifyFiles(files []Source, key []byte, kept []Head) ([]FileReport, error) {
	heads := map[string]Head{}
	for _, head := range kept {
		heads[head.Node] = head
	}
	reports := make([]FileReport, 0, len(files))
	for _, file := range files {
		v := verifier{signer: newSigner(key), kept: heads}
		report, err := v.read(file.Text)
		reports = append(reports, FileReport{Name: file.Name, Report: report, Err: err})
	}
	slices.SortStableFunc(reports, func(a, b FileReport) int {
		return cmp.Or(cmp.Compare(a.Head.Node, b.Head.Node), cmp.Compare(a.First, b.First))
	})
	var errs []error
	for i, r := range reports {
		if r.Err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.Name, r.Err))
		}
		if i > 0 && r.Lines > 0 && reports[i-1].Lines > 0 && r.Head.Node == reports[i-1].Head.Node {
			errs = append(errs, joint(reports[i-1], r))
		}
	}
	return reports, errors.Join(append(errs, ends(reports, heads)...)...)
}

// joint checks that a file goes on where the one before it ends.
func joint(before, after FileReport) error {
	switch {
	case after.First <= before.Head.Sequence:
		return fmt.Errorf("%s begins with line %d of the chain and %s ends with line %d: the same lines are there twice", after.Name, after.First, before.Name, before.Head.Sequence)
	case after.First > before.Head.Sequence+1:
		return fmt.Errorf("%s ends with line %d of the chain and %s begins with line %d: the lines between are missing", before.Name, before.Head.Sequence, after.Name, after.First)
	case !bytes.Equal(after.After, before.Head.MAC):
		return fmt.Errorf("%s does not follow %s: the last line of the one or the first of the other was altered", after.Name, before.Name)
	}
	return nil
}

// ends checks that no lines are missing at the end, of the nodes whose files are there.
func ends(reports []FileReport, kept map[string]Head) []error {
	last := map[string]FileReport{}
	for _, r := range reports {
		if r.Lines > 0 {
			last[r.Head.Node] = r
		}
	}
	var errs []error
	for _, r := range reports {
		head := kept[r.Head.Node]
		if r.Lines > 0 && r.Name == last[r.Head.Node].Name && r.Head.Sequence < head.Sequence {
			errs = append(errs, fmt.Errorf("%s ends with line %d of the chain, which goes on to line %d: lines are missing at the end", r.Name, r.Head.Sequence, head.Sequence))
		}
	}
	return errs
}
