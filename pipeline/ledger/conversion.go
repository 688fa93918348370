package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Conversion is what one sink made of one type in one run.
type Conversion struct {
	Sink   string
	Type   string
	Rows   int64
	Output string // the files written, losses and schema; opaque here
}

// Convert records a conversion whose files are closed and durable. In the same
// transaction the tasks with the given keys become converted: those whose every
// line is now in such a file (I5).
func (l *Ledger) Convert(ctx context.Context, run string, c Conversion, converted []string) error {
	if err := l.Flush(ctx); err != nil {
		return err
	}
	err := l.tx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO conversions (run, sink, type, rows, output) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (run, sink, type) DO UPDATE SET rows = excluded.rows, output = excluded.output`, run, c.Sink, c.Type, c.Rows, c.Output)
		if err != nil {
			return err
		}
		return changeTasks(ctx, tx, enter(run, converted, TaskConverted))
	})
	if err != nil {
		return fmt.Errorf("record conversion: %w", err)
	}
	return nil
}

// Unconvert forgets the conversions of a type, because more of its lines came
// in another file; the tasks with the given keys are landed again. It comes
// before the files are removed.
func (l *Ledger) Unconvert(ctx context.Context, run, typ string, landed []string) error {
	if err := l.Flush(ctx); err != nil {
		return err
	}
	err := l.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM conversions WHERE run = ? AND type = ?", run, typ); err != nil {
			return err
		}
		return changeTasks(ctx, tx, enter(run, landed, TaskLanded))
	})
	if err != nil {
		return fmt.Errorf("forget conversion: %w", err)
	}
	return nil
}

// Reland forgets all conversions of a run: its tasks are landed and no more.
func (l *Ledger) Reland(ctx context.Context, run string) (Run, error) {
	if err := l.Flush(ctx); err != nil {
		return Run{}, err
	}
	var r Run
	err := l.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM conversions WHERE run = ?", run); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE tasks SET state = ? WHERE run = ? AND state = ?", TaskLanded, run, TaskConverted); err != nil {
			return err
		}
		var err error
		r, err = updateRun(ctx, tx, run, l.now(), func(*Run) {})
		return err
	})
	if err != nil {
		return Run{}, fmt.Errorf("forget conversions: %w", err)
	}
	return r, nil
}

// Conversions returns what was converted in a run, by type and sink.
func (l *Ledger) Conversions(ctx context.Context, run string) (list []Conversion, err error) {
	rows, err := l.read.QueryContext(ctx, "SELECT sink, type, rows, output FROM conversions WHERE run = ? ORDER BY type, sink", run)
	if err != nil {
		return nil, fmt.Errorf("read conversions: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c Conversion
		if err := rows.Scan(&c.Sink, &c.Type, &c.Rows, &c.Output); err != nil {
			return nil, fmt.Errorf("read conversions: %w", err)
		}
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read conversions: %w", err)
	}
	return list, nil
}
