package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/flue-fhir/flue/export/sandbox/store"
)

const oneSecond = time.Second

// job is one export. What is set by startJob does not change; the files are
// written by its goroutine and may be read when ready is closed.
type job struct {
	id      string
	client  string
	request string // URL
	at      time.Time
	begun   time.Time
	asked   *exportRequest
	granted func(typ string) bool
	view    *store.View
	dir     string

	ready   chan struct{}
	cancel  context.CancelFunc
	done    atomic.Int32 // types that are written, for X-Progress
	output  []*outFile
	deleted []*outFile
	errors  []*outFile
	files   map[string]*outFile // all of them, by name
	failed  error

	mu       sync.Mutex
	lastPoll time.Time
	complete time.Time // when a poll first saw it complete
	expired  bool
}

// outFile is a file of an export: a piece of a file on disk.
type outFile struct {
	typ   string
	name  string // in the URL
	tag   string // strong, for the bytes as they are
	piece store.Piece
	owned bool // the file is the job's own
}

// jobs are the exports that are not deleted.
type jobs struct {
	mu   sync.Mutex
	byID map[string]*job
}

// busyError is a client with too many exports.
type busyError struct{}

func (busyError) Error() string { return "too many exports are running" }

// startJob begins the export of the view.
func (s *Server) startJob(req *exportRequest, rt *route, view *store.View, at time.Time, requestURL string) (*job, error) {
	ctx, cancel := context.WithCancel(s.running)
	j := &job{
		id: randomID(), client: rt.client(), request: requestURL, at: at, begun: s.now(), asked: req, granted: rt.mayExport, view: view,
		ready: make(chan struct{}), cancel: cancel,
	}
	j.dir = filepath.Join(s.temp, j.id)
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		cancel()
		return nil, err
	}
	s.purge()
	run := func() {
		defer close(j.ready)
		defer cancel()
		if j.failed = s.write(ctx, j); j.failed != nil && ctx.Err() == nil {
			s.log().Error("export failed", "export", j.id, "error", j.failed)
		}
	}
	if !s.admit(j, run) {
		cancel()
		return nil, errors.Join(&busyError{}, os.Remove(j.dir))
	}
	return j, nil
}

// admit registers the job and runs it, unless its client has too many that are
// running, or the server is closed.
func (s *Server) admit(j *job, run func()) bool {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	running := 0
	for _, other := range s.jobs.byID {
		if other.client == j.client && !s.over(other) {
			running++
		}
	}
	if running >= orElse(s.MaxJobs, 16) || s.running.Err() != nil {
		return false
	}
	if s.jobs.byID == nil {
		s.jobs.byID = map[string]*job{}
	}
	s.jobs.byID[j.id] = j
	s.work.Go(run)
	return true
}

// purge drops the exports that have expired.
func (s *Server) purge() {
	s.jobs.mu.Lock()
	var old []*job
	for _, j := range s.jobs.byID {
		if s.expired(j) {
			old = append(old, j)
		}
	}
	s.jobs.mu.Unlock()
	for _, j := range old {
		if err := s.drop(j); err != nil {
			s.log().Warn("an export's files remain", "export", j.id, "error", err)
		}
	}
}

// expired reports whether an export is no longer to be found.
func (s *Server) expired(j *job) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if s.JobExpiry > 0 && !j.complete.IsZero() && s.now().Sub(j.complete) >= s.JobExpiry {
		j.expired = true
	}
	return j.expired
}

// over reports whether the export is no longer running.
func (s *Server) over(j *job) bool {
	select {
	case <-j.ready:
		return s.now().Sub(j.begun) >= s.ExportDuration
	default:
		return false
	}
}

// job finds a client's export that has not expired.
func (s *Server) job(id, client string) (*job, bool) {
	s.jobs.mu.Lock()
	j := s.jobs.byID[id]
	s.jobs.mu.Unlock()
	if j == nil || j.client != client {
		return nil, false
	}
	return j, !s.expired(j)
}

// drop forgets an export, ends it when it is running and removes its files.
func (s *Server) drop(j *job) error {
	s.jobs.mu.Lock()
	delete(s.jobs.byID, j.id)
	s.jobs.mu.Unlock()
	j.cancel()
	<-j.ready
	return os.RemoveAll(j.dir)
}

// ExpireExport makes an export, or every export when id is "", answer 404 from
// now on, and reports how many there were.
func (s *Server) ExpireExport(id string) int {
	s.jobs.mu.Lock()
	var hit []*job
	for _, j := range s.jobs.byID {
		if id == "" || j.id == id {
			hit = append(hit, j)
		}
	}
	s.jobs.mu.Unlock()
	for _, j := range hit {
		j.mu.Lock()
		j.expired = true
		j.mu.Unlock()
	}
	return len(hit)
}

// write makes the job's files.
func (s *Server) write(ctx context.Context, j *job) error {
	for _, typ := range j.asked.types {
		if !j.granted(typ) {
			continue
		}
		if err := s.writeType(ctx, j, typ); err != nil {
			return fmt.Errorf("export %s: %w", typ, err)
		}
		j.done.Add(1)
	}
	if err := s.writeDeleted(j); err != nil {
		return fmt.Errorf("export deleted: %w", err)
	}
	if err := s.writeOutcomes(j); err != nil {
		return fmt.Errorf("export outcomes: %w", err)
	}
	j.files = map[string]*outFile{}
	for _, list := range [][]*outFile{j.output, j.deleted, j.errors} {
		for _, f := range list {
			j.files[f.name] = f
		}
	}
	return nil
}
