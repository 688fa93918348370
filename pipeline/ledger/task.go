package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Task is one output file or one search partition of a run. Its identity is the
// key, never a URL (P35); of the URL only the path is kept (I6).
type Task struct {
	Key      string
	Kind     string // output | error | deleted | partition
	Type     string // "" when the server names none
	Ordinal  int    // place in its list of the server's manifest
	Count    int64  // -1 when the server does not say
	Path     string // of the URL, without query
	State    TaskState
	Attempts int64
	Bytes    int64 // body bytes as sent
	Lines    int64
}

// List records that the run has exactly these tasks, all pending, and drops
// those from before with their conversions. In the same transaction it applies
// f to the run, which is then Listed.
func (l *Ledger) List(ctx context.Context, run string, tasks []Task, f func(*Run)) (Run, error) {
	return l.setTasks(ctx, run, tasks, true, f)
}

// Extend adds pending tasks to those of a run that is not Listed: files that the
// server lists before its export is complete. None of them may be there already.
// List replaces them all.
func (l *Ledger) Extend(ctx context.Context, run string, tasks []Task) error {
	if len(tasks) == 0 {
		return nil
	}
	err := l.tx(ctx, func(tx *sql.Tx) error { return insertTasks(ctx, tx, run, tasks) })
	if err != nil {
		return fmt.Errorf("record early tasks: %w", err)
	}
	return nil
}

// Unlist drops the tasks of the run but for those to keep, which are pending again,
// and all conversions, because they are of an export that is no more. In the same
// transaction it applies f to the run, which is then no longer Listed.
func (l *Ledger) Unlist(ctx context.Context, run string, keep []Task, f func(*Run)) (Run, error) {
	return l.setTasks(ctx, run, keep, false, f)
}

func (l *Ledger) setTasks(ctx context.Context, run string, tasks []Task, listed bool, f func(*Run)) (Run, error) {
	if err := l.Flush(ctx); err != nil {
		return Run{}, err
	}
	var r Run
	err := l.tx(ctx, func(tx *sql.Tx) error {
		for _, q := range []string{"DELETE FROM conversions WHERE run = ?", "DELETE FROM tasks WHERE run = ?"} {
			if _, err := tx.ExecContext(ctx, q, run); err != nil {
				return err
			}
		}
		if err := insertTasks(ctx, tx, run, tasks); err != nil {
			return err
		}
		var err error
		r, err = updateRun(ctx, tx, run, l.now(), func(r *Run) {
			f(r)
			r.Listed = listed
		})
		return err
	})
	if err != nil {
		return Run{}, fmt.Errorf("record tasks: %w", err)
	}
	return r, nil
}

func insertTasks(ctx context.Context, tx *sql.Tx, run string, tasks []Task) (err error) {
	insert, err := tx.PrepareContext(ctx, `INSERT INTO tasks (run, key, kind, type, ordinal, count, path, state, attempts, bytes, lines)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0)`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	for _, t := range tasks {
		if _, err := insert.ExecContext(ctx, run, t.Key, t.Kind, t.Type, t.Ordinal, t.Count, t.Path, TaskPending); err != nil {
			return err
		}
	}
	return nil
}

// Tasks returns the tasks of a run, by kind, type and ordinal, as of the last
// Flush.
func (l *Ledger) Tasks(ctx context.Context, run string) (tasks []Task, err error) {
	rows, err := l.read.QueryContext(ctx, `SELECT key, kind, type, ordinal, count, path, state, attempts, bytes, lines
		FROM tasks WHERE run = ? ORDER BY kind, type, ordinal, key`, run)
	if err != nil {
		return nil, fmt.Errorf("read tasks: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var t Task
		if err := rows.Scan(&t.Key, &t.Kind, &t.Type, &t.Ordinal, &t.Count, &t.Path, &t.State, &t.Attempts, &t.Bytes, &t.Lines); err != nil {
			return nil, fmt.Errorf("read tasks: %w", err)
		}
		tasks = append(tasks, t)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read tasks: %w", err)
	}
	return tasks, nil
}

// FinishTasks sets every converted task of a run to done.
func (l *Ledger) FinishTasks(ctx context.Context, run string) error {
	if err := l.Flush(ctx); err != nil {
		return err
	}
	_, err := l.write.ExecContext(ctx, "UPDATE tasks SET state = ? WHERE run = ? AND state = ?", TaskDone, run, TaskConverted)
	if err != nil {
		return fmt.Errorf("finish tasks: %w", err)
	}
	return nil
}

// Note is a change of one task.
type Note struct {
	Key     string
	State   TaskState
	Attempt bool  // one more attempt
	Bytes   int64 // set when not 0
	Lines   int64 // set when not 0
}

type change struct {
	run string
	Note
}

// A group is committed when it has so many changes, or when so much time has
// passed since the one before.
const (
	groupSize  = 1000
	groupDelay = 400 * time.Millisecond
)

// Note records a change of a task, durable only after the next Flush: tens of
// thousands of small files must not wait for as many disk writes. What a crash
// takes away is found again in the spool, which is the truth about what has
// landed. An error may be one of an earlier change.
func (l *Ledger) Note(ctx context.Context, run string, n Note) error {
	g := &l.group
	g.mu.Lock()
	g.pending = append(g.pending, change{run, n})
	due := len(g.pending) >= groupSize || l.now().Sub(g.last) >= groupDelay
	g.mu.Unlock()
	if !due {
		return nil
	}
	return l.Flush(ctx)
}

// Flush makes every change noted so far durable.
func (l *Ledger) Flush(ctx context.Context) error {
	g := &l.group
	g.commit.Lock()
	defer g.commit.Unlock()

	g.mu.Lock()
	changes := g.pending
	g.pending = nil
	g.last = l.now()
	g.mu.Unlock()
	if len(changes) == 0 {
		return nil
	}
	// A cancelled caller must not take the changes of the others with it.
	ctx = context.WithoutCancel(ctx)
	err := l.tx(ctx, func(tx *sql.Tx) error { return changeTasks(ctx, tx, changes) })
	if err != nil {
		return fmt.Errorf("record task changes: %w", err)
	}
	return nil
}

// changeTasks makes the changes of tasks, in their order.
func changeTasks(ctx context.Context, tx *sql.Tx, changes []change) (err error) {
	state, err := tx.PrepareContext(ctx, "SELECT state FROM tasks WHERE run = ? AND key = ?")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()
	update, err := tx.PrepareContext(ctx, `UPDATE tasks SET state = ?, attempts = attempts + ?,
		bytes = CASE WHEN ? <> 0 THEN ? ELSE bytes END, lines = CASE WHEN ? <> 0 THEN ? ELSE lines END
		WHERE run = ? AND key = ?`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, update.Close()) }()
	for _, c := range changes {
		var from TaskState
		err := state.QueryRowContext(ctx, c.run, c.Key).Scan(&from)
		if errors.Is(err, sql.ErrNoRows) {
			return errors.New("no such task")
		}
		if err != nil {
			return err
		}
		if !slices.Contains(c.State.from(), from) {
			return &TransitionError{What: "task", From: string(from), To: string(c.State)}
		}
		_, err = update.ExecContext(ctx, c.State, flag(c.Attempt), c.Bytes, c.Bytes, c.Lines, c.Lines, c.run, c.Key)
		if err != nil {
			return err
		}
	}
	return nil
}

// enter are the changes that bring tasks to a state.
func enter(run string, keys []string, s TaskState) []change {
	changes := make([]change, 0, len(keys))
	for _, key := range keys {
		changes = append(changes, change{run, Note{Key: key, State: s}})
	}
	return changes
}
