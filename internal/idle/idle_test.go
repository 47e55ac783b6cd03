package idle_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"coffer/internal/idle"
)

// No more run at one time than there are workers, no more wait than may, and what was
// refused or withdrawn never runs.
func TestBounds(t *testing.T) {
	pool := idle.New(2, 3)
	release, started := make(chan struct{}), make(chan struct{}, 5)
	var running, most, ran atomic.Int64
	work := func() {
		most.Store(max(most.Load(), running.Add(1)))
		started <- struct{}{}
		<-release
		running.Add(-1)
		ran.Add(1)
	}
	var group sync.WaitGroup
	add := func() {
		group.Go(func() {
			err := idle.ErrFull
			for errors.Is(err, idle.ErrFull) { // the probe below may stand in its place for a moment
				err = pool.Do(context.Background(), work)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	add()
	<-started
	add()
	<-started
	ctx, cancel := context.WithCancel(context.Background())
	waiting := make(chan error)
	go func() { waiting <- pool.Do(ctx, func() { t.Error("a withdrawn job ran") }) }()
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("withdrawn: %v", err)
	}
	for range 3 {
		add()
	}
	for err := error(nil); !errors.Is(err, idle.ErrFull); { // the three above are on their way into the queue
		done, cancel := context.WithCancel(context.Background())
		cancel()
		if err = pool.Do(done, func() {}); err == nil {
			t.Fatal("a job ran while all workers were busy")
		}
	}
	close(release)
	group.Wait()
	if ran.Load() != 5 || most.Load() != 2 {
		t.Errorf("%d ran, %d at one time", ran.Load(), most.Load())
	}
}

func TestPanicComesOut(t *testing.T) {
	pool := idle.New(1, 1)
	defer func() {
		if recover() != "boom" {
			t.Error("the panic was lost")
		}
		ran := false
		if err := pool.Do(context.Background(), func() { ran = true }); err != nil || !ran {
			t.Errorf("the pool is broken: %v", err)
		}
	}()
	_ = pool.Do(context.Background(), func() { panic("boom") })
}

func TestAddProcessors(t *testing.T) {
	pool := idle.New(2, 1)
	pool.AddProcessors()
	before, inside := runtime.GOMAXPROCS(0), 0
	if err := pool.Do(context.Background(), func() { inside = runtime.GOMAXPROCS(0) }); err != nil {
		t.Fatal(err)
	}
	for runtime.GOMAXPROCS(0) != before { // the worker is about to end
		runtime.Gosched()
	}
	if inside != before+1 {
		t.Errorf("%d processors before, %d inside", before, inside)
	}
}
