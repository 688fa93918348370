package durable

import "sync"

// shared lets goroutines that want the same thing synced at the same time share
// a sync. After a sync that failed nothing tells what is durable: every later
// call returns its error.
type shared struct {
	mu       sync.Mutex
	ended    *sync.Cond // a sync has ended
	started  uint64     // syncs begun
	finished uint64     // number of the last sync that ended
	err      error      // of the sync that failed
	running  bool
}

// wait returns when a do that began after the call has ended.
func (s *shared) wait(do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = sync.NewCond(&s.mu)
	}
	for need := s.started + 1; s.finished < need && s.err == nil; {
		if s.running {
			s.ended.Wait()
			continue
		}
		s.running = true
		s.started++
		s.mu.Unlock()
		err := do()
		s.mu.Lock()
		s.running, s.finished, s.err = false, s.started, err
		s.ended.Broadcast()
	}
	return s.err
}
