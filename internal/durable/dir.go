package durable

import "sync"

// Dir shares the syncs of one folder among goroutines: many files that are
// committed at once cost a few syncs.
type Dir struct {
	FS   FS
	Path string

	mu      sync.Mutex
	started uint64 // syncs begun

	run      sync.Mutex // held while syncing
	finished uint64     // number of the last sync that ended
	err      error      // its result
}

// Sync returns when a sync that began after the call has ended.
func (d *Dir) Sync() error {
	d.mu.Lock()
	need := d.started + 1
	d.mu.Unlock()

	d.run.Lock()
	defer d.run.Unlock()
	if d.finished >= need {
		return d.err
	}
	d.mu.Lock()
	d.started++
	number := d.started
	d.mu.Unlock()
	d.err = d.FS.SyncDir(d.Path)
	d.finished = number
	return d.err
}
