package store

import (
	"container/list"
	"sync"
)

// A Cache keeps what records were parsed into, by key and revision. It never answers
// by itself: a Look asks the store whether the record still has the revision, in the
// same round trip as everything else, and only then is the parsed value used. So a
// cached value is never stale, on whichever node the record was changed.
//
// The zero Cache is not ready; make one with NewCache.
type Cache[T any] struct {
	mu      sync.Mutex
	max     int
	entries map[Key]*list.Element
	recent  *list.List // of entry[T], the latest in front
}

type entry[T any] struct {
	key      Key
	revision Revision
	value    T
}

// NewCache returns a cache of at most max parsed records; the one that was not used
// for the longest time goes first.
func NewCache[T any](max int) *Cache[T] {
	return &Cache[T]{max: max, entries: map[Key]*list.Element{}, recent: list.New()}
}

// A Look is one look-up under way. It holds on to the value that it promised the
// store to have.
type Look[T any] struct {
	cache *Cache[T]
	ask   Ask
	held  T
}

// Look begins a look-up of the record at key.
func (c *Cache[T]) Look(key Key) Look[T] {
	c.mu.Lock()
	defer c.mu.Unlock()
	look := Look[T]{cache: c, ask: Ask{Key: key}}
	if at, ok := c.entries[key]; ok {
		c.recent.MoveToFront(at)
		held := at.Value.(entry[T])
		look.ask.IfNot, look.held = held.revision, held.value
	}
	return look
}

// Ask is what to give to Store.Get.
func (l Look[T]) Ask() Ask { return l.ask }

// Value returns the parsed form of rec, the store's answer to Ask: the held one if
// the record is unchanged, else what parse makes of it. A record that does not exist
// is not given to parse: the result is false. The value is shared; nobody changes it.
func (l Look[T]) Value(rec Record, parse func(Record) (T, error)) (T, bool, error) {
	var none T
	if !rec.Exists() {
		l.cache.drop(l.ask.Key)
		return none, false, nil
	}
	if l.ask.IfNot != 0 && rec.Revision == l.ask.IfNot {
		return l.held, true, nil
	}
	value, err := parse(rec)
	if err != nil {
		return none, false, err
	}
	l.cache.put(entry[T]{key: rec.Key, revision: rec.Revision, value: value})
	return value, true, nil
}

func (c *Cache[T]) put(e entry[T]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.entries[e.key]; ok {
		at.Value = e
		c.recent.MoveToFront(at)
		return
	}
	c.entries[e.key] = c.recent.PushFront(e)
	if c.recent.Len() > c.max {
		oldest := c.recent.Back()
		delete(c.entries, oldest.Value.(entry[T]).key)
		c.recent.Remove(oldest)
	}
}

func (c *Cache[T]) drop(key Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.entries[key]; ok {
		delete(c.entries, key)
		c.recent.Remove(at)
	}
}
