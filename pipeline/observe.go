package pipeline

import (
	"sync"
	"time"
)

// progressEvery is how often progress is told at most.
const progressEvery = 200 * time.Millisecond

// observer tells the person's side what happens, one event at a time, and keeps
// the totals.
type observer struct {
	tell func(Event) // may be nil
	now  func() time.Time
	job  string
	run  string

	mu    sync.Mutex
	state State
	total Progress
	told  time.Time // of the last progress
}

// event tells e with the totals.
func (o *observer) event(e Event) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.send(e)
}

// count changes the totals and tells them, unless they were just told.
func (o *observer) count(f func(*Progress)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(&o.total)
	if now := o.now(); now.Sub(o.told) >= progressEvery {
		o.told = now
		o.send(Event{Kind: "progress"})
	}
}

// enter tells a new state.
func (o *observer) enter(s State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.state = s
	o.send(Event{Kind: "state", Text: string(s)})
}

func (o *observer) send(e Event) {
	if o.tell == nil {
		return
	}
	e.Time, e.Run, e.Job, e.Progress = o.now(), o.run, o.job, o.total
	if e.State == "" {
		e.State = o.state
	}
	o.tell(e)
}
