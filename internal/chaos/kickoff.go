package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/flue-fhir/flue/pipeline/ledger"
)

// kickoffs watches that none is repeated while a status URL is known (I4).
type kickoffs struct {
	mu       sync.Mutex
	sent     int // requests that reached the server
	accepted int
	repeated int // while the ledger knew a status URL
	files    int // of the manifest that went out last
}

// arrived looks into the ledger before a kick-off is handled.
func (k *kickoffs) arrived(_ context.Context, s *site) {
	known := false
	err := s.withLedger(func(l *ledger.Ledger, ctx context.Context) error {
		runs, err := l.Runs(ctx, jobName, 0)
		for _, r := range runs {
			known = known || r.StatusURL != "" && !r.State.Terminal()
		}
		return err
	})
	if err != nil {
		s.violate("the ledger cannot be read at a kick-off: " + err.Error())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sent++
	if known {
		k.repeated++
	}
}

// serve answers a kick-off.
func (k *kickoffs) serve(s *site, next http.Handler, w http.ResponseWriter, r *http.Request) {
	got := newBuffered()
	next.ServeHTTP(got, r)
	if got.status == http.StatusAccepted {
		url := got.header.Get("Content-Location")
		s.secrets.export(url[strings.LastIndexByte(url, '/')+1:])
		k.mu.Lock()
		k.accepted++
		k.mu.Unlock()
	}
	got.send(w)
}

// listed notes how many files a manifest lists.
func (k *kickoffs) listed(files int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files = files
}

// withLedger opens the ledger of the site, when there is one yet.
func (s *site) withLedger(f func(*ledger.Ledger, context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := os.Stat(filepath.Join(s.state, "ledger.db")); err != nil {
		return nil
	}
	l, err := ledger.Open(ctx, s.state, nil)
	if err != nil {
		return err
	}
	err = f(l, ctx)
	if cerr := l.Close(); err == nil {
		err = cerr
	}
	return err
}
