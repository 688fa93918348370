package attachment

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

// fakeServer has contents by URL.
type fakeServer struct {
	mu    sync.Mutex
	pages map[string]*page
	asked map[string]int
	down  bool // the FHIR server answers 503
}

type page struct {
	body, mediaType, encoding string
	cut                       int // so many answers break in the middle
	code                      string
	passing                   bool
	endless                   bool
}

func (s *fakeServer) Origin(url string) (string, bool) {
	switch {
	case strings.HasPrefix(url, "Binary/"):
		return "https://fhir.example.org", true
	case strings.HasPrefix(url, "https://"):
		origin, _, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
		return "https://" + origin, false
	}
	return "", false
}

func (s *fakeServer) Open(_ context.Context, url, _ string) (*Content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked == nil {
		s.asked = map[string]int{}
	}
	s.asked[url]++
	p := s.pages[url]
	_, own := s.Origin(url)
	switch {
	case own && s.down:
		return nil, &export.AttachmentError{Code: "server-error", Passing: true, Err: errors.New("503")}
	case p == nil:
		return nil, &export.AttachmentError{Code: "not-found", Err: errors.New("404")}
	case p.code != "":
		return nil, &export.AttachmentError{Code: p.code, Passing: p.passing, Err: errors.New(p.code)}
	}
	var body io.Reader = strings.NewReader(p.body)
	if p.cut > 0 {
		p.cut--
		body = io.MultiReader(strings.NewReader(p.body[:len(p.body)/2]), broken{})
	}
	return &Content{ReadCloser: io.NopCloser(body), MediaType: p.mediaType, Encoding: p.encoding, Endless: p.endless}, nil
}

func (s *fakeServer) requests(url string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[url]
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// place is a snapshot in the making, and the spool.
type place struct {
	dir string
	run *spool.Run

	mu     sync.Mutex
	staged map[string]string
	full   bool // the disk of the snapshot
}

func newPlace(t *testing.T) *place {
	t.Helper()
	dir := t.TempDir()
	run, err := (&spool.Spool{Dir: dir, MinFree: 1}).Run("r")
	if err != nil {
		t.Fatal(err)
	}
	return &place{dir: dir, run: run, staged: map[string]string{}}
}

func (p *place) fetcher(s Server) *Fetcher {
	return &Fetcher{
		Server: s, Scratch: p.run.Scratch, Create: p.create, MaxSize: 1 << 20, Own: true, Retries: 2,
		Wait: func(ctx context.Context, _ int) error { return ctx.Err() },
	}
}

var errDiskFull = errors.New("disk full")

func (p *place) create(_ context.Context, path string) (sinks.FileWriter, error) {
	if p.full {
		return nil, errDiskFull
	}
	return &stagedFile{place: p, path: path}, nil
}

type stagedFile struct {
	bytes.Buffer
	place *place
	path  string
}

func (f *stagedFile) Commit() (int64, string, error) {
	sum := sha256.Sum256(f.Bytes())
	f.place.mu.Lock()
	defer f.place.mu.Unlock()
	f.place.staged[f.path] = f.String()
	return int64(f.Len()), hex.EncodeToString(sum[:]), nil
}

func (f *stagedFile) Abort() error { return nil }

func sumOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// attachments makes so many, each with a content of its own at the FHIR server.
func attachments(s *fakeServer, n int) []Found {
	if s.pages == nil {
		s.pages = map[string]*page{}
	}
	var list []Found
	for i := range n {
		url := fmt.Sprintf("Binary/%d", i)
		s.pages[url] = &page{body: fmt.Sprintf("content %d", i), mediaType: "text/plain"}
		list = append(list, Found{Row: sinks.Attachment{Type: "DocumentReference", ID: fmt.Sprint(i), Path: "content[0].attachment", ContentType: "text/plain"}, URL: url})
	}
	return list
}

func walkOf(list []Found) Walk {
	return func(yield func(Found) error) error {
		for _, a := range list {
			if err := yield(a); err != nil {
				return err
			}
		}
		return nil
	}
}
