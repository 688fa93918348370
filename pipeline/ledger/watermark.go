package ledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// CacheWatermarks keeps a copy of the watermarks of the job's latest snapshot,
// for commands that only show them: the manifest is the truth (I2).
func (l *Ledger) CacheWatermarks(ctx context.Context, job, snapshot string, marks map[string]time.Time) error {
	err := l.tx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM watermarks WHERE job = ?", job); err != nil {
			return err
		}
		for typ, mark := range marks {
			if _, err := tx.ExecContext(ctx, "INSERT INTO watermarks (job, type, mark, snapshot) VALUES (?, ?, ?, ?)", job, typ, micros(mark), snapshot); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("cache watermarks: %w", err)
	}
	return nil
}

// Watermarks returns the cached watermarks of a job and the name of the
// snapshot that they are from.
func (l *Ledger) Watermarks(ctx context.Context, job string) (marks map[string]time.Time, snapshot string, err error) {
	rows, err := l.read.QueryContext(ctx, "SELECT type, mark, snapshot FROM watermarks WHERE job = ?", job)
	if err != nil {
		return nil, "", fmt.Errorf("read watermarks: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	marks = map[string]time.Time{}
	for rows.Next() {
		var typ string
		var mark int64
		if err := rows.Scan(&typ, &mark, &snapshot); err != nil {
			return nil, "", fmt.Errorf("read watermarks: %w", err)
		}
		marks[typ] = instant(mark)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("read watermarks: %w", err)
	}
	return marks, snapshot, nil
}

// Override is a person's word on the watermark of a job, for its next run.
type Override struct {
	Mark time.Time // ask for changes since then; zero: cleared, the next run is full
	Made time.Time // when it was given; it tells one override from another
}

// SetOverride keeps the person's word until a run that heeded it is published.
func (l *Ledger) SetOverride(ctx context.Context, job string, mark time.Time) (Override, error) {
	o := Override{Mark: mark.UTC(), Made: l.now().UTC().Truncate(time.Microsecond)}
	_, err := l.write.ExecContext(ctx, `INSERT INTO overrides (job, mark, made) VALUES (?, ?, ?)
		ON CONFLICT (job) DO UPDATE SET mark = excluded.mark, made = excluded.made`, job, micros(mark), micros(o.Made))
	if err != nil {
		return Override{}, fmt.Errorf("set watermark: %w", err)
	}
	return o, nil
}

// Override returns the override of a job; ok is false when there is none.
func (l *Ledger) Override(ctx context.Context, job string) (o Override, ok bool, err error) {
	var mark, made int64
	err = l.read.QueryRowContext(ctx, "SELECT mark, made FROM overrides WHERE job = ?", job).Scan(&mark, &made)
	if errors.Is(err, sql.ErrNoRows) {
		return Override{}, false, nil
	}
	if err != nil {
		return Override{}, false, fmt.Errorf("read watermark override: %w", err)
	}
	return Override{Mark: instant(mark), Made: instant(made)}, true, nil
}

// DropOverride forgets the override that was made at the instant, because a run
// that heeded it is published. A newer one stays.
func (l *Ledger) DropOverride(ctx context.Context, job string, made time.Time) error {
	if _, err := l.write.ExecContext(ctx, "DELETE FROM overrides WHERE job = ? AND made = ?", job, micros(made)); err != nil {
		return fmt.Errorf("drop watermark override: %w", err)
	}
	return nil
}
