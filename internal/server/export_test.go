package server

import "context"

// Administer does what a command asks, as the admin socket does.
func (c *Core) Administer(ctx context.Context, verb string, r AdminRequest) (any, error) {
	return c.administer(ctx, verb, r)
}

// The parsers of what comes from outside.
var (
	ParseAdmin        = parseAdmin
	ParseSealChoice   = parseSealChoice
	ParsePin          = parsePin
	ParseInstallation = parseInstallation
)

// BeatNode says once that the node lives.
func (c *Core) BeatNode(ctx context.Context) error { return c.node.beat(ctx) }

// TendSeal does what is due every minute.
func (c *Core) TendSeal(ctx context.Context) { c.tendSeal(ctx) }

// SealReachable reports what was found when the seal was asked last.
func (c *Core) SealReachable() bool { return !c.sealing.unreachable.Load() }
