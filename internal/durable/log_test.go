package durable

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func newLog(t *testing.T, s FS) (*Log, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "log")
	l, err := s.CreateLog(path, 0o600, &Dir{Path: filepath.Dir(path)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, path
}

// TestLogSharesSyncs: pieces of many goroutines stand where Append says, and
// those that wait together share a sync that began after their write.
func TestLogSharesSyncs(t *testing.T) {
	const writers = 50
	synctest.Test(t, func(t *testing.T) {
		var syncs atomic.Int64
		called := make(chan struct{})
		l, path := newLog(t, FS{Step: func(op, _ string) error {
			if op == "sync" && syncs.Add(1) == 1 {
				<-called
			}
			return nil
		}})
		var wg sync.WaitGroup
		var mu sync.Mutex
		places := map[int64][]byte{}
		write := func(i int) {
			piece := bytes.Repeat([]byte{byte('a' + i%26)}, i+1)
			at, err := l.Append(piece)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			places[at] = piece
		}
		wg.Go(func() { write(0) })
		synctest.Wait()
		for i := range writers {
			wg.Go(func() { write(i + 1) })
		}
		synctest.Wait()
		close(called)
		wg.Wait()
		if n := syncs.Load(); n != 2 {
			t.Errorf("%d pieces cost %d syncs, want 2", writers+1, n)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var total int
		for at, piece := range places {
			total += len(piece)
			if !bytes.HasPrefix(data[at:], piece) {
				t.Errorf("another piece stands at %d", at)
			}
		}
		if len(places) != writers+1 || total != len(data) {
			t.Errorf("%d pieces of %d bytes in a file of %d", len(places), total, len(data))
		}
	})
}

// TestLogFault: after a sync that failed, nothing is taken for durable any more.
func TestLogFault(t *testing.T) {
	var fail bool
	l, _ := newLog(t, FS{Step: func(op, _ string) error {
		if fail && op == "sync" {
			return errCrash
		}
		return nil
	}})
	if _, err := l.Append([]byte("one")); err != nil {
		t.Fatal(err)
	}
	fail = true
	if _, err := l.Append([]byte("two")); !errors.Is(err, errCrash) {
		t.Errorf("Append = %v, want the fault", err)
	}
	fail = false
	if _, err := l.Append([]byte("three")); !errors.Is(err, errCrash) {
		t.Errorf("the next Append = %v, want the same fault", err)
	}
}

func TestCreateLogReplacesNothing(t *testing.T) {
	_, path := newLog(t, FS{})
	if _, err := (FS{}).CreateLog(path, 0o600, &Dir{Path: filepath.Dir(path)}); !errors.Is(err, os.ErrExist) {
		t.Errorf("CreateLog over a file: %v", err)
	}
}
