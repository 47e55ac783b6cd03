// Package faults runs the built binary under load and does to it what happens to
// servers. Each test ends by comparing what the store holds with what clients were told.
//
// harness_test.go makes an installation and starts and kills its node; load_test.go is the
// load and the ledger of what clients were told; the other files are a fault each.
package faults
