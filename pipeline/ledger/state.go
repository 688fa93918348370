package ledger

import (
	"fmt"
	"slices"
)

// State is where a run stands.
type State string

// The states of a run, in the order of a run without trouble.
const (
	Planned    State = "planned"    // the request is decided on
	Authorized State = "authorized" // a first token was granted
	KickedOff  State = "kicked_off" // the server accepted the export, its status URL is kept
	Exporting  State = "exporting"  // the server works
	Landing    State = "landing"    // every file is known; they are being fetched
	Converting State = "converting" // every file has landed
	Publishing State = "publishing" // every file is converted and the numbers add up
	Published  State = "published"  // the snapshot is visible
	Failed     State = "failed"     // stopped by an error; may be resumed
	Cancelled  State = "cancelled"  // stopped by a person
	Abandoned  State = "abandoned"  // given up for a newer run
)

// progress are the states that follow each other.
var progress = [...]State{Planned, Authorized, KickedOff, Exporting, Landing, Converting, Publishing, Published}

// Terminal reports whether no run ever leaves the state.
func (s State) Terminal() bool { return s == Published || s == Cancelled || s == Abandoned }

// CanFollow reports whether a run may go from s to next:
//
//   - forward along planned … published, leaving out what the mode does not
//     have (a search is never kicked off) or what an earlier try has done;
//   - back to planned from any state but the terminal ones, when the run is taken
//     up again, and to authorized when the server lost the export;
//   - to failed, cancelled or abandoned from any state but the terminal ones;
//   - to published from failed, when the snapshot turns out to be visible.
func (s State) CanFollow(next State) bool {
	if s.Terminal() {
		return false
	}
	switch next {
	case Failed, Cancelled, Abandoned, Planned, Authorized, Published:
		return true
	}
	from, to := slices.Index(progress[:], s), slices.Index(progress[:], next)
	return from >= 0 && to >= from
}

// TaskState is where a task stands.
type TaskState string

// The states of a task.
const (
	TaskPending     TaskState = "pending"
	TaskLanding     TaskState = "landing"     // being fetched
	TaskLanded      TaskState = "landed"      // its part is whole and checked in the spool
	TaskConverted   TaskState = "converted"   // every sink's files with its rows are closed and durable (I5)
	TaskDone        TaskState = "done"        // published
	TaskQuarantined TaskState = "quarantined" // landed, but none of its lines can be published
)

// from lists the states that a task may come from to be in state s.
func (s TaskState) from() []TaskState {
	switch s {
	case TaskPending: // landed again, after the server listed its files anew
		return []TaskState{TaskPending, TaskLanding, TaskLanded, TaskConverted, TaskQuarantined}
	case TaskLanding: // from landed or converted: its part was damaged on the disk
		return []TaskState{TaskPending, TaskLanding, TaskLanded, TaskConverted}
	case TaskLanded: // from converted: late lines of the type came in another file
		return []TaskState{TaskPending, TaskLanding, TaskLanded, TaskConverted}
	case TaskConverted:
		return []TaskState{TaskLanded, TaskConverted}
	case TaskDone:
		return []TaskState{TaskConverted, TaskDone}
	case TaskQuarantined:
		return []TaskState{TaskPending, TaskLanding, TaskLanded, TaskQuarantined}
	}
	return nil
}

// TransitionError says that a change of state is not among those documented: a
// bug of the caller.
type TransitionError struct {
	What     string // "run" or "task"
	From, To string // From is empty when it was not read
}

func (e *TransitionError) Error() string {
	if e.From == "" {
		return fmt.Sprintf("%s cannot become %s from where it is", e.What, e.To)
	}
	return fmt.Sprintf("%s cannot go from %s to %s", e.What, e.From, e.To)
}
