package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	"coffer/internal/client"
)

// A tagFlag is --tag NAME=VALUE, which can be repeated. Without it tags stay as they are;
// --no-tags takes all away.
type tagFlag struct {
	pairs map[string]string
	none  bool
}

func (t *tagFlag) add(cmd *cobra.Command) {
	cmd.Flags().StringToStringVar(&t.pairs, "tag", nil, "a tag, `name=value`; can be repeated. The tags given replace those that were there")
	cmd.Flags().BoolVar(&t.none, "no-tags", false, "take all tags away")
}

// pointers are the tags as the SDKs take them; nil leaves tags as they are.
func (t *tagFlag) pointers() map[string]*string {
	if t.none {
		return map[string]*string{}
	}
	if t.pairs == nil {
		return nil
	}
	out := map[string]*string{}
	for name, value := range t.pairs {
		out[name] = &value
	}
	return out
}

// An attributesFlag are the attributes that secrets, keys and certificates have.
type attributesFlag struct {
	enabled, disabled bool
	expires, begins   string
}

func (a *attributesFlag) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&a.enabled, "enabled", false, "let it be used")
	cmd.Flags().BoolVar(&a.disabled, "disabled", false, "let it not be used")
}

func (a *attributesFlag) addTimes(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.expires, "expires", "", "the `time` when it ends: 2027-01-31, 2027-01-31T12:00:00Z, or 90d from now")
	cmd.Flags().StringVar(&a.begins, "not-before", "", "the `time` when it begins, in the same forms")
}

// read returns the attributes that are set; others are nil.
func (a *attributesFlag) read() (enabled *bool, expires, begins *time.Time, err error) {
	switch {
	case a.enabled && a.disabled:
		return nil, nil, nil, client.Usagef("--enabled and --disabled contradict each other")
	case a.enabled || a.disabled:
		enabled = &a.enabled
	}
	if expires, err = parseTime("--expires", a.expires); err != nil {
		return nil, nil, nil, err
	}
	begins, err = parseTime("--not-before", a.begins)
	return enabled, expires, begins, err
}

// parseTime reads a time, a date (in UTC), or a number of days or hours from now.
func parseTime(flag, text string) (*time.Time, error) {
	if text == "" {
		return nil, nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return &t, nil
		}
	}
	span := text
	if days, ok := strings.CutSuffix(text, "d"); ok {
		span = days + "h"
	}
	length, err := time.ParseDuration(span)
	if err != nil || length <= 0 {
		return nil, client.Usagef("%s is %q: write a date (2027-01-31), a time (2027-01-31T12:00:00Z) or a span from now (90d, 12h)", flag, text)
	}
	if strings.HasSuffix(text, "d") {
		length *= 24
	}
	t := time.Now().Add(length).UTC().Truncate(time.Second)
	return &t, nil
}
