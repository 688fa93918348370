package pipeline

import (
	"context"
	"errors"
	"sync"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

// early lands files that the server hands out while it still works: those of
// partial manifests. It only fills the spool. What is published is decided by
// the complete list of files, which finds its parts there; what fails is tried
// again then. Which files were taken is durable before they are fetched, so that
// the complete list can be held against it, also by a later process.
type early struct {
	x     *execution
	src   *bulkSource
	group sync.WaitGroup

	mu      sync.Mutex
	tasks   []ledger.Task   // recorded, by this process and earlier ones
	seen    map[string]bool // offered to the workers, by key
	queue   []ledger.Task
	workers int
	off     bool // nothing more is begun
	err     error
}

// newEarly makes ready for partial manifests. The caller ends it with end.
func (x *execution) newEarly(ctx context.Context) (*early, error) {
	tasks, err := x.r.Ledger.Tasks(ctx, x.id)
	if err != nil {
		return nil, err
	}
	e := &early{x: x, tasks: ofGeneration(tasks, x.plan.Generation), seen: map[string]bool{}}
	e.src = &bulkSource{x: x, links: &links{fetch: e.refresh}, logged: sync.OnceValue(x.loggedParts)}
	// A server that was not asked for partial manifests, an export that may not be
	// ours to publish, and those before the data's are left to their end.
	e.off = !x.r.Job.Export.AllowPartialManifests || x.plan.Adopted || x.plan.Leg != legData
	return e, nil
}

// offer takes a partial manifest, nil for none, and goes on landing its files
// until ctx ends. It returns before they have landed.
func (e *early) offer(ctx context.Context, m *export.Manifest) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if m == nil || e.off {
		return
	}
	tasks, files := listFiles(m, e.x.plan.Generation)
	if _, same := settle(e.tasks, tasks); !same {
		e.off = true // the complete list will tell
		return
	}
	tasks = distinct(tasks)
	known := map[string]bool{}
	for _, t := range e.tasks {
		known[t.Key] = true
	}
	var fresh []ledger.Task
	for _, t := range tasks {
		if !known[t.Key] {
			fresh = append(fresh, t)
		}
	}
	if err := e.x.r.Ledger.Extend(ctx, e.x.id, fresh); err != nil {
		e.off, e.err = true, err
		return
	}
	e.tasks = append(e.tasks, fresh...)
	e.x.step("early files recorded")
	e.src.links.set(files)
	for _, t := range tasks {
		if !e.seen[t.Key] {
			e.seen[t.Key] = true
			e.queue = append(e.queue, t)
		}
	}
	for e.workers < min(e.x.downloads(), len(e.queue)) {
		e.workers++
		e.group.Go(func() { e.work(ctx) })
	}
}

// distinct are the tasks that their paths tell apart.
func distinct(tasks []ledger.Task) (list []ledger.Task) {
	paths := map[string]int{}
	for _, t := range tasks {
		paths[t.Path]++
	}
	for _, t := range tasks {
		if paths[t.Path] == 1 {
			list = append(list, t)
		}
	}
	return list
}

// settle holds files that were taken early against a list of files. gone are
// those that it has not; same is false when another file stands in the place of
// one of them, or may: then none of what has landed can be told to be in its
// place.
func settle(early, list []ledger.Task) (gone int64, same bool) {
	byKey := make(map[string]ledger.Task, len(list))
	for _, t := range distinct(list) {
		byKey[t.Key] = t
	}
	keys, paths := make(map[string]bool, len(list)), make(map[string]bool, len(list))
	for _, t := range list {
		keys[t.Key], paths[t.Path] = true, true
	}
	for _, e := range early {
		t := byKey[e.Key]
		switch {
		case !keys[e.Key] && paths[e.Path]: // it is fetched again, in its place
		case !keys[e.Key]:
			gone++
		case t.Path != e.Path || t.Count != e.Count:
			return 0, false
		}
	}
	return gone, true
}

// next is the file to land next; ok is false when the worker is to end.
func (e *early) next() (t ledger.Task, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.off || len(e.queue) == 0 {
		e.workers--
		return t, false
	}
	t, e.queue = e.queue[0], e.queue[1:]
	return t, true
}

func (e *early) work(ctx context.Context) {
	for t, ok := e.next(); ok; t, ok = e.next() {
		p, err := e.x.land(ctx, &t, e.src, func() {})
		if err == nil {
			err = e.landed(ctx, t, p)
		}
		if err != nil {
			e.x.r.log().Debug("land early", "run", e.x.id, "type", t.Type, "error", err)
		}
	}
}

func (e *early) landed(ctx context.Context, t ledger.Task, p *spool.Part) error {
	info := p.Info()
	err := e.x.r.Ledger.Note(ctx, e.x.id, ledger.Note{Key: t.Key, State: ledger.TaskLanded, Bytes: info.RawBytes, Lines: info.Lines})
	if err == nil {
		e.x.step("landed early")
	}
	return err
}

// refresh asks for the links again that the server has handed out (P35).
func (e *early) refresh(ctx context.Context) (map[string]export.File, error) {
	m, p, err := e.x.bulk.Status(ctx, e.x.run.StatusURL)
	if m == nil {
		m = p.Partial
	}
	if err == nil && m == nil {
		err = errors.New("fetch partial manifest again: there is none")
	}
	if err != nil {
		return nil, err
	}
	tasks, files := listFiles(m, e.x.plan.Generation)
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, same := settle(e.tasks, tasks); !same {
		e.off = true
		return nil, &movedError{"another file stands in the place of one that was listed early"}
	}
	return files, nil
}

// end waits for what is under way and begins nothing more. It returns the files
// that were taken.
func (e *early) end() ([]ledger.Task, error) {
	e.mu.Lock()
	e.off = true
	e.mu.Unlock()
	e.group.Wait()
	return e.tasks, e.err
}

// complete makes the tasks of the complete list. Where it contradicts what was
// listed early, nothing that landed is taken: all files get other keys.
func (x *execution) complete(m *export.Manifest, taken []ledger.Task) (tasks []ledger.Task, files map[string]export.File) {
	tasks, files = listFiles(m, x.plan.Generation)
	gone, same := settle(taken, tasks)
	switch {
	case !same:
		x.plan.Generation++
		x.keep(sinks.Warning{Code: "manifest-changed", Text: "the server's complete list has other files in the place of those that it handed out early; all were fetched anew", Count: 1})
		return listFiles(m, x.plan.Generation)
	case gone > 0:
		x.keep(sinks.Warning{Code: "file-withdrawn", Text: "files that the server handed out early are not in its complete list: what came of them is not published", Count: gone})
	}
	return tasks, files
}
