// Package idle does what keeps a processor busy for long, such as making RSA key pairs,
// on threads that give way to all others: where the system knows priorities of threads
// (Linux), a server that makes keys as fast as it can still answers everything else.
//
// A Pool bounds how much is done at one time and how much waits. Its threads live while
// there is something to do.
//
//	pool := idle.New(workers, queue)
//	err := pool.Do(ctx, func() { key, err = rsa.GenerateKey(…) })
//
// A thread of low priority that holds one of Go's processors would keep others from
// running, for Go itself knows no priorities. So a pool in a process of its own gives Go
// one processor more for each of its workers while that works: see AddProcessors.
package idle

import (
	"context"
	"errors"
	"runtime"
	"sync"
)

// ErrFull means that as much waits as may wait.
var ErrFull = errors.New("idle: too much is waiting")

// A Pool is safe for any number of goroutines.
type Pool struct {
	workers, limit int
	processors     bool

	mu    sync.Mutex
	busy  int    // workers that there are
	queue []*job // never longer than limit; empty unless all workers are busy
}

// A job is done by one worker. Its caller waits for done, or takes it out of the queue.
type job struct {
	work  func()
	done  chan struct{}
	panic any // what the work panicked with
}

// New returns a pool of at most so many workers, at least one, before which at most
// queue jobs wait.
func New(workers, queue int) *Pool {
	return &Pool{workers: max(1, workers), limit: queue}
}

// AddProcessors makes the pool raise runtime.GOMAXPROCS by one for each worker while it
// works. It is for the process's own main, before the pool is used.
func (p *Pool) AddProcessors() { p.processors = true }

// Do runs work on a thread of the pool and returns when it has ended. The error is
// ErrFull, or that of ctx when it ends before the work has begun; in both cases work is
// not run. A panic in work comes out of Do.
func (p *Pool) Do(ctx context.Context, work func()) error {
	j := &job{work: work, done: make(chan struct{})}
	if !p.add(j) {
		return ErrFull
	}
	select {
	case <-j.done:
	case <-ctx.Done():
		if p.withdraw(j) {
			return ctx.Err()
		}
		<-j.done // it has begun
	}
	if j.panic != nil {
		panic(j.panic)
	}
	return nil
}

// add hands the job to a new worker, or lets it wait.
func (p *Pool) add(j *job) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.busy < p.workers:
		p.busy++
		p.changeProcessors(1)
		go p.run(j)
	case len(p.queue) < p.limit:
		p.queue = append(p.queue, j)
	default:
		return false
	}
	return true
}

// withdraw takes a job that waits out of the queue; false means that it waits no more.
func (p *Pool) withdraw(j *job) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, waiting := range p.queue {
		if waiting == j {
			p.queue = append(p.queue[:i], p.queue[i+1:]...)
			return true
		}
	}
	return false
}

// run is a worker: it does jobs while there are any. Its thread has another priority
// from then on, so it is not given back: it ends with the goroutine, which is locked to
// it.
func (p *Pool) run(j *job) {
	runtime.LockOSThread()
	giveWay()
	for j != nil {
		j.do()
		j = p.next()
	}
}

// changeProcessors is called under the lock.
func (p *Pool) changeProcessors(by int) {
	if p.processors {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + by)
	}
}

func (j *job) do() {
	defer close(j.done)
	defer func() { j.panic = recover() }()
	j.work()
}

// next is what a worker does next; nil means that it ends.
func (p *Pool) next() *job {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		p.busy--
		p.changeProcessors(-1)
		return nil
	}
	j := p.queue[0]
	p.queue = p.queue[1:]
	return j
}
