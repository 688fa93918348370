package authserver

import "time"

// expiring is a bounded map whose entries end by themselves. It is guarded by
// Server.mu.
type expiring[K comparable, V any] struct {
	entries map[K]entry[V]
	sweepAt int // size at which ended entries are looked for
}

type entry[V any] struct {
	value V
	until time.Time
}

// get returns an entry that has not ended.
func (e *expiring[K, V]) get(key K, now time.Time) (V, bool) {
	got, ok := e.entries[key]
	if !ok || !now.Before(got.until) {
		var none V
		return none, false
	}
	return got.value, true
}

// put adds an entry, and reports whether there was room for it. Ended entries are
// removed whenever the map has doubled since the last time, so that the cost of an
// entry is constant on average.
func (e *expiring[K, V]) put(key K, value V, until, now time.Time, most int) bool {
	if e.entries == nil {
		e.entries = map[K]entry[V]{}
	}
	if n := len(e.entries); n >= e.sweepAt || n >= most {
		for k, v := range e.entries {
			if !now.Before(v.until) {
				delete(e.entries, k)
			}
		}
		e.sweepAt = max(64, 2*len(e.entries))
	}
	if len(e.entries) >= most {
		return false
	}
	e.entries[key] = entry[V]{value, until}
	return true
}

func (e *expiring[K, V]) remove(key K) { delete(e.entries, key) }

func (e *expiring[K, V]) clear() { clear(e.entries) }
