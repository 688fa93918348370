// Package ledger is the durable record of runs and tasks: a SQLite database on
// a local disk. It caches what the published manifests say and is never the only
// place where something that cannot be asked for again is kept, but for one: the
// status URL of an export in progress (I4). That URL is also the only secret in
// it (I6); it is cleared when the run has ended.
//
// Every method is durable when it returns, but for Note, whose changes are
// committed in groups. Keys, plans and outputs are opaque strings here.
package ledger

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Ledger is an open ledger. Its methods may be called by several goroutines at
// once, and several processes may have the same ledger open.
type Ledger struct {
	dir   string
	write *sql.DB // one connection
	read  *sql.DB
	now   func() time.Time

	group group
}

// group gathers the changes of Note; mu guards the fields, commit is held over
// a commit so that groups keep their order.
type group struct {
	commit  sync.Mutex
	mu      sync.Mutex
	pending []change
	last    time.Time // of the last commit
}

// Open opens the ledger below the folder dir, which is made when it is missing,
// and brings its tables up to date. now may be nil: time.Now. The caller closes
// it.
func Open(ctx context.Context, dir string, now func() time.Time) (*Ledger, error) {
	if now == nil {
		now = time.Now
	}
	if err := os.MkdirAll(filepath.Join(dir, "locks"), 0o700); err != nil {
		return nil, fmt.Errorf("make state folder: %w", err)
	}
	path := filepath.Join(dir, "ledger.db")
	// The file is made here and not by SQLite, which would heed the umask only;
	// its -wal and -shm files take the mode over (I7).
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	err = f.Chmod(0o600)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}

	l := &Ledger{dir: dir, now: now}
	if l.write, err = connect(path, "immediate"); err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l.write.SetMaxOpenConns(1)
	if l.read, err = connect(path, "deferred"); err != nil {
		return nil, errors.Join(fmt.Errorf("open ledger: %w", err), l.write.Close())
	}
	l.read.SetMaxOpenConns(4)
	if err := l.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("bring ledger up to date: %w", err), l.write.Close(), l.read.Close())
	}
	return l, nil
}

func connect(path, lock string) (*sql.DB, error) {
	q := url.Values{"_txlock": {lock}, "_pragma": {
		"busy_timeout(15000)", // first: the others may have to wait
		"journal_mode(WAL)",
		"synchronous(FULL)",
		"foreign_keys(1)",
		"secure_delete(1)", // a cleared status URL leaves no trace in free pages (I6)
	}}
	u := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	return sql.Open("sqlite", u.String())
}

// migrate runs under a file lock: two processes may open a new ledger at once.
func (l *Ledger) migrate(ctx context.Context) (err error) {
	lock, err := lockFile(ctx, filepath.Join(l.dir, "ledger.lock"), true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, l.write, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return &TooNewError{Have: have, Want: want}
	}
	_, err = p.Up(ctx)
	return err
}

// TooNewError says that a newer flue has written the ledger.
type TooNewError struct {
	Have, Want int64 // versions of the tables
}

func (e *TooNewError) Error() string {
	return fmt.Sprintf("ledger has version %d, this program knows %d", e.Have, e.Want)
}

// Hint says what to do.
func (e *TooNewError) Hint() string {
	return "use the newer flue that wrote this state folder, or another state_dir"
}

// Class puts the error among those of configuration.
func (e *TooNewError) Class() string { return "usage" }

// Close commits what was noted and closes the ledger.
func (l *Ledger) Close() error {
	// Cleared secrets go out of the write-ahead log too (I6).
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	err := l.Flush(ctx)
	if _, cerr := l.write.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); cerr != nil && err == nil {
		err = fmt.Errorf("checkpoint ledger: %w", cerr)
	}
	return errors.Join(err, l.read.Close(), l.write.Close())
}

// tx runs f in one transaction of the write connection.
func (l *Ledger) tx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := l.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// micros and instant convert between instants and the tables' numbers.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(µs int64) time.Time {
	if µs == 0 {
		return time.Time{}
	}
	return time.UnixMicro(µs).UTC()
}
