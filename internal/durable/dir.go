package durable

import "sync"

// Dir shares the syncs of one folder among goroutines: many files that are
// committed at once cost a few syncs.
type Dir struct {
	FS   FS
	Path string

	mu       sync.Mutex
	ended    *sync.Cond // a sync has ended
	started  uint64     // syncs begun
	finished uint64     // number of the last sync that ended
	err      error      // its result
	running  bool
}

// Sync returns when a sync that began after the call has ended.
func (d *Dir) Sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended == nil {
		d.ended = sync.NewCond(&d.mu)
	}
	for need := d.started + 1; d.finished < need; {
		if d.running {
			d.ended.Wait()
			continue
		}
		d.running = true
		d.started++
		d.mu.Unlock()
		err := d.FS.SyncDir(d.Path)
		d.mu.Lock()
		d.running, d.finished, d.err = false, d.started, err
		d.ended.Broadcast()
	}
	return d.err
}
