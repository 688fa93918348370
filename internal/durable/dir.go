package durable

// Dir shares the syncs of one folder among goroutines: many files that are
// committed at once cost a few syncs.
type Dir struct {
	FS   FS
	Path string

	syncs shared
}

// Sync returns when a sync that began after the call has ended. After an error
// every later call returns it.
func (d *Dir) Sync() error {
	return d.syncs.wait(func() error { return d.FS.SyncDir(d.Path) })
}
