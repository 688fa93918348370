package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Run is what the ledger knows about one run of a job. It holds no PHI (I7) and
// no secret but StatusURL (I6).
type Run struct {
	ID          string
	Job         string
	State       State
	Phase       State  // how far it came: the last state of progress, also when State is failed
	Fingerprint string // of the plan: a run is taken up again only by the same plan
	Kind        string // full | delta
	Plan        string // the plan, opaque here
	Trigger     string // manual | schedule
	Due         time.Time
	Started     time.Time
	Updated     time.Time // set by every change
	Ended       time.Time // when it last came to an end, also in failure

	StatusURL     string    // of the export in progress: a secret; cleared when the run has ended
	KickoffIntent time.Time // a kick-off was about to be sent and its answer is not known
	KickoffDate   time.Time // the server's Date at the kick-off or the first search page
	Kickoffs      int64     // requests sent, ambiguous and refused ones included
	Ambiguous     int64     // kick-offs whose answer never came (F16)
	Restarts      int64     // exports that the server lost (F22)
	Resumes       int64     // times the run was taken up again

	TransactionTime time.Time
	Listed          bool // the tasks of the run are complete

	CancelRequested bool
	Error           string // text and class of the last failure
	Class           string
	Hint            string
	Snapshot        string // name of the published snapshot
	Location        string // where it is, for a person
	Stats           string // figures of the tries so far, opaque here
}

const runColumns = `id, job, state, phase, fingerprint, kind, plan, origin, due, started, updated, ended,
	status_url, kickoff_intent, kickoff_date, kickoffs, ambiguous, restarts, resumes, transaction_time,
	listed, cancel_requested, error, class, hint, snapshot, location, stats`

// ErrNotFound says that there is no such run.
var ErrNotFound = errors.New("no such run")

// Begin records a new run in state planned. Started is the ledger's clock when
// it is zero.
func (l *Ledger) Begin(ctx context.Context, r Run) (Run, error) {
	r.State, r.Phase = Planned, Planned
	r.Updated = l.now().UTC()
	if r.Started.IsZero() {
		r.Started = r.Updated
	}
	err := l.tx(ctx, func(tx *sql.Tx) error {
		marks := strings.Repeat("?, ", strings.Count(runColumns, ",")) + "?"
		_, err := tx.ExecContext(ctx, "INSERT INTO runs ("+runColumns+") VALUES ("+marks+")", r.values()...)
		return err
	})
	if err != nil {
		return Run{}, fmt.Errorf("record run: %w", err)
	}
	return r, nil
}

// Update changes a run in one transaction: f gets the run as it stands and
// alters it. A change of State that is not allowed is a *TransitionError, and
// nothing is changed. The run as it is afterwards is returned.
func (l *Ledger) Update(ctx context.Context, id string, f func(*Run)) (Run, error) {
	var r Run
	err := l.tx(ctx, func(tx *sql.Tx) error {
		var err error
		r, err = updateRun(ctx, tx, id, l.now(), f)
		return err
	})
	if err != nil {
		return Run{}, fmt.Errorf("update run: %w", err)
	}
	return r, nil
}

func updateRun(ctx context.Context, tx *sql.Tx, id string, now time.Time, f func(*Run)) (Run, error) {
	r, err := readRun(tx.QueryRowContext(ctx, "SELECT "+runColumns+" FROM runs WHERE id = ?", id))
	if err != nil {
		return Run{}, err
	}
	was := r
	f(&r)
	r.ID, r.Job, r.Phase = was.ID, was.Job, was.Phase
	if r.State != was.State {
		if !was.State.CanFollow(r.State) {
			return Run{}, &TransitionError{What: "run", From: string(was.State), To: string(r.State)}
		}
		if r.State != Failed && r.State != Cancelled && r.State != Abandoned {
			r.Phase = r.State
		}
	}
	r.Updated = now.UTC()
	set := strings.ReplaceAll(runColumns, ",", " = ?,") + " = ?"
	_, err = tx.ExecContext(ctx, "UPDATE runs SET "+set+" WHERE id = ?", append(r.values(), id)...)
	return r, err
}

// Run returns the run with the id, or ErrNotFound.
func (l *Ledger) Run(ctx context.Context, id string) (Run, error) {
	r, err := readRun(l.read.QueryRowContext(ctx, "SELECT "+runColumns+" FROM runs WHERE id = ?", id))
	if err != nil {
		return Run{}, fmt.Errorf("read run: %w", err)
	}
	return r, nil
}

// Find returns the run whose id begins with prefix, when there is exactly one;
// otherwise ErrNotFound.
func (l *Ledger) Find(ctx context.Context, prefix string) (Run, error) {
	for i := range len(prefix) {
		if strings.IndexByte(alphabet, prefix[i]) < 0 {
			return Run{}, fmt.Errorf("read run: %w", ErrNotFound)
		}
	}
	runs, err := l.list(ctx, "WHERE id LIKE ? ORDER BY id LIMIT 2", prefix+"%")
	if err == nil && (prefix == "" || len(runs) != 1) {
		err = fmt.Errorf("read run: %w", ErrNotFound)
	}
	if err != nil {
		return Run{}, err
	}
	return runs[0], nil
}

// Runs returns the runs of a job (all jobs when it is empty), newest first, at
// most limit of them (all when it is 0).
func (l *Ledger) Runs(ctx context.Context, job string, limit int) ([]Run, error) {
	if limit <= 0 {
		limit = 1 << 30
	}
	return l.list(ctx, "WHERE (? = '' OR job = ?) ORDER BY id DESC LIMIT ?", job, job, limit)
}

// Unfinished returns the runs of a job (all jobs when it is empty) that have not come
// to a final state, newest first, and those that have but whose export the server may
// still hold.
func (l *Ledger) Unfinished(ctx context.Context, job string) ([]Run, error) {
	return l.list(ctx, "WHERE (? = '' OR job = ?) AND (state NOT IN (?, ?, ?) OR status_url <> '') ORDER BY id DESC",
		job, job, Published, Cancelled, Abandoned)
}

// Prune forgets the tasks and conversions of runs that came to a final state
// before the instant; the runs themselves stay.
func (l *Ledger) Prune(ctx context.Context, before time.Time) error {
	err := l.tx(ctx, func(tx *sql.Tx) error {
		for _, table := range []string{"conversions", "tasks"} {
			_, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE run IN (SELECT id FROM runs WHERE ended <> 0 AND ended < ? AND state IN (?, ?, ?))",
				micros(before), Published, Cancelled, Abandoned)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("prune ledger: %w", err)
	}
	return nil
}

func (l *Ledger) list(ctx context.Context, where string, args ...any) (runs []Run, err error) {
	rows, err := l.read.QueryContext(ctx, "SELECT "+runColumns+" FROM runs "+where, args...)
	if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		r, err := readRun(rows)
		if err != nil {
			return nil, fmt.Errorf("list runs: %w", err)
		}
		runs = append(runs, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	return runs, nil
}

func (r Run) values() []any {
	return []any{
		r.ID, r.Job, r.State, r.Phase, r.Fingerprint, r.Kind, r.Plan, r.Trigger, micros(r.Due), micros(r.Started), micros(r.Updated), micros(r.Ended),
		r.StatusURL, micros(r.KickoffIntent), micros(r.KickoffDate), r.Kickoffs, r.Ambiguous, r.Restarts, r.Resumes, micros(r.TransactionTime),
		flag(r.Listed), flag(r.CancelRequested), r.Error, r.Class, r.Hint, r.Snapshot, r.Location, r.Stats,
	}
}

func readRun(row interface{ Scan(...any) error }) (Run, error) {
	var r Run
	var due, started, updated, ended, intent, date, transaction int64
	err := row.Scan(&r.ID, &r.Job, &r.State, &r.Phase, &r.Fingerprint, &r.Kind, &r.Plan, &r.Trigger, &due, &started, &updated, &ended,
		&r.StatusURL, &intent, &date, &r.Kickoffs, &r.Ambiguous, &r.Restarts, &r.Resumes, &transaction,
		&r.Listed, &r.CancelRequested, &r.Error, &r.Class, &r.Hint, &r.Snapshot, &r.Location, &r.Stats)
	if errors.Is(err, sql.ErrNoRows) {
		return Run{}, ErrNotFound
	}
	r.Due, r.Started, r.Updated, r.Ended = instant(due), instant(started), instant(updated), instant(ended)
	r.KickoffIntent, r.KickoffDate, r.TransactionTime = instant(intent), instant(date), instant(transaction)
	return r, err
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
