package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// A Copy takes every line of a log to another place: a collector, a terminal. It has a
// queue and a goroutine of its own, so that a slow place delays nobody but itself, up to
// a bound; beyond the bound it fails, and with it the log: what cannot be written down
// is not answered.
//
// A line is accepted when it is in the queue, and durable when Deliver has taken it.
// After a failed delivery the same lines are delivered again, so that some may arrive
// twice; their sequence numbers tell.
type Copy struct {
	config CopyConfig
	cancel context.CancelFunc
	done   chan struct{}
	wake   chan struct{}

	mu        sync.Mutex
	queue     []byte        // whole lines that were not delivered
	added     uint64        // bytes, ever
	delivered uint64        // bytes, ever
	stalled   bool          // somebody waited in vain, and nothing was delivered since: nobody waits
	changed   chan struct{} // closed when something was delivered
}

// A CopyConfig says where a Copy goes.
type CopyConfig struct {
	Name string // of the place, in errors
	// Deliver takes whole lines, each with its newline. One call runs at a time.
	Deliver func(ctx context.Context, lines []byte) error
	Close   func() error  // ends Deliver for good; may be nil
	Wait    time.Duration // how long a line may wait for its place, and a durable one for its delivery
	Queue   int           // bytes that may wait
	Batch   int           // bytes that are delivered at once, unless one line is longer
	Retry   time.Duration // after the first failed delivery; it doubles, up to 32 times
	Log     *slog.Logger
}

// The bounds of a copy that says none itself.
const (
	copyWait  = 5 * time.Second
	copyQueue = 4 << 20
	copyBatch = 256 << 10
	copyRetry = 100 * time.Millisecond
)

// NewCopy starts a copy.
func NewCopy(c CopyConfig) *Copy {
	c.Wait, c.Queue, c.Batch, c.Retry = positive(c.Wait, copyWait), positive(c.Queue, copyQueue), positive(c.Batch, copyBatch), positive(c.Retry, copyRetry)
	ctx, cancel := context.WithCancel(context.Background())
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	out := &Copy{config: c, cancel: cancel, done: make(chan struct{}), wake: make(chan struct{}, 1), changed: make(chan struct{})}
	go out.run(ctx)
	return out
}

func positive[T int | time.Duration](value, otherwise T) T {
	if value > 0 {
		return value
	}
	return otherwise
}

// run delivers until close.
func (c *Copy) run(ctx context.Context) {
	defer close(c.done)
	pause := c.config.Retry
	for {
		batch := c.next()
		if len(batch) == 0 {
			select {
			case <-c.wake:
				continue
			case <-ctx.Done():
				return
			}
		}
		err := c.deliver(ctx, batch)
		if err == nil {
			pause = c.config.Retry
			c.taken(len(batch))
			continue
		}
		if ctx.Err() != nil {
			return
		}
		c.config.Log.Warn("lines of the audit log could not be delivered; it is tried again", "to", c.config.Name, "in", pause, "error", err)
		select {
		case <-time.After(pause):
			pause = min(2*pause, 32*c.config.Retry)
		case <-ctx.Done():
			return
		}
	}
}

func (c *Copy) deliver(ctx context.Context, batch []byte) error {
	ctx, cancel := context.WithTimeout(ctx, c.config.Wait)
	defer cancel()
	return c.config.Deliver(ctx, batch)
}

// next returns the lines that are delivered next, without taking them from the queue.
func (c *Copy) next() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) <= c.config.Batch {
		return bytes.Clone(c.queue)
	}
	end := bytes.LastIndexByte(c.queue[:c.config.Batch], '\n') + 1
	if end == 0 {
		end = bytes.IndexByte(c.queue, '\n') + 1
	}
	return bytes.Clone(c.queue[:end])
}

func (c *Copy) taken(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue[:0], c.queue[n:]...)
	c.delivered += uint64(n)
	c.stalled = false
	close(c.changed)
	c.changed = make(chan struct{})
}

// reserve waits until n more bytes have their place in the queue.
func (c *Copy) reserve(n int, deadline time.Time) error {
	return c.await(deadline, func() bool { return len(c.queue)+n <= c.config.Queue })
}

// flush waits until everything that is in the queue now was delivered.
func (c *Copy) flush(deadline time.Time) error {
	c.mu.Lock()
	target := c.added
	c.mu.Unlock()
	return c.await(deadline, func() bool { return c.delivered >= target })
}

// await waits until it is so. Once somebody has waited in vain, nobody waits until
// something is delivered: a thousand requests do not wait one after the other.
func (c *Copy) await(deadline time.Time, so func() bool) error {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	for {
		c.mu.Lock()
		if so() {
			c.mu.Unlock()
			return nil
		}
		stalled, changed := c.stalled, c.changed
		c.mu.Unlock()
		if stalled {
			return fmt.Errorf("audit: %s takes no lines", c.config.Name)
		}
		select {
		case <-changed:
		case <-timer.C:
			c.mu.Lock()
			c.stalled = !so()
			c.mu.Unlock()
			return fmt.Errorf("audit: %s has not taken its lines within %s", c.config.Name, c.config.Wait)
		}
	}
}

// add puts a line into the queue, where it has its place.
func (c *Copy) add(line []byte) {
	c.mu.Lock()
	c.queue = append(c.queue, line...)
	c.added += uint64(len(line))
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// close delivers what is left, within the bound, and ends the copy.
func (c *Copy) close() error {
	err := c.flush(time.Now().Add(c.config.Wait))
	c.cancel()
	select {
	case <-c.done:
	case <-time.After(c.config.Wait): // a place that hangs and cannot be interrupted
	}
	if c.config.Close != nil {
		err = errors.Join(err, c.config.Close())
	}
	return err
}

// A Fan is a Sink with copies. The log is read back from its main sink only, and what
// that one did not take, no copy gets.
type Fan struct {
	main   Sink
	copies []*Copy
	wait   time.Duration
}

// NewFan returns the sink. It closes main and the copies when it is closed.
func NewFan(main Sink, wait time.Duration, copies ...*Copy) *Fan {
	return &Fan{main: main, copies: copies, wait: positive(wait, copyWait)}
}

// Append implements Sink: the line has its place everywhere before it is written, so
// that a place that is full does not make the copies differ.
func (f *Fan) Append(line []byte) error {
	deadline := time.Now().Add(f.wait)
	for _, c := range f.copies {
		if err := c.reserve(len(line), deadline); err != nil {
			return err
		}
	}
	if err := f.main.Append(line); err != nil {
		return err
	}
	for _, c := range f.copies {
		c.add(line)
	}
	return nil
}

// Sync implements Sink.
func (f *Fan) Sync() error {
	deadline := time.Now().Add(f.wait)
	errs := []error{f.main.Sync()}
	for _, c := range f.copies {
		errs = append(errs, c.flush(deadline))
	}
	return errors.Join(errs...)
}

// Tail implements Sink.
func (f *Fan) Tail() (Tail, error) { return f.main.Tail() }

// Reopen follows the main sink.
func (f *Fan) Reopen() (bool, error) {
	if main, ok := f.main.(reopener); ok {
		return main.Reopen()
	}
	return false, nil
}

// Close implements Sink.
func (f *Fan) Close() error {
	errs := make([]error, len(f.copies)+1)
	var ended sync.WaitGroup
	for i, c := range f.copies {
		ended.Go(func() { errs[i] = c.close() })
	}
	ended.Wait()
	errs[len(f.copies)] = f.main.Close()
	return errors.Join(errs...)
}
