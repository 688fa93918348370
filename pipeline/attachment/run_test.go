package attachment

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

func notesOf(t *testing.T, p *place) *spool.Notes {
	t.Helper()
	n, err := p.run.Notes("attachments")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

func rows(t *testing.T, n *spool.Notes) (list []sinks.Attachment) {
	t.Helper()
	if err := sinks.EachAttachment(n.Open(0), func(a sinks.Attachment) error { list = append(list, a); return nil }); err != nil {
		t.Fatal(err)
	}
	return list
}

func ids(list []sinks.Attachment) string {
	var out []string
	for _, a := range list {
		out = append(out, a.ID)
	}
	return strings.Join(out, " ")
}

// What came of the attachments is noted in their order, whatever order they came
// in, and each is fetched once.
func TestRunInOrder(t *testing.T) {
	server := &fakeServer{}
	list := attachments(server, 200)
	server.pages["Binary/17"].code = "gone"
	p := newPlace(t)
	n := notesOf(t, p)
	var told []sinks.Attachment
	if err := p.fetcher(server).Run(t.Context(), walkOf(list), n, 7, func(a sinks.Attachment) { told = append(told, a) }); err != nil {
		t.Fatal(err)
	}
	got := rows(t, n)
	if d := cmp.Diff(told, got); d != "" {
		t.Errorf("rows (-told +noted):\n%s", d)
	}
	for i, a := range list {
		if server.requests(a.URL) != 1 || got[i].ID != a.Row.ID {
			t.Errorf("%s: %d requests, row %d is of %s", a.URL, server.requests(a.URL), i, got[i].ID)
		}
	}
	if got[17].Status != sinks.Failed || got[17].Code != "gone" || len(p.staged) != 199 {
		t.Errorf("%+v, %d contents", got[17], len(p.staged))
	}
}

// A content that several attachments have is staged once.
func TestEqualContentsAreStagedOnce(t *testing.T) {
	server := &fakeServer{}
	list := attachments(server, 30)
	for _, a := range list {
		server.pages[a.URL].body = "the same"
	}
	p := newPlace(t)
	f := p.fetcher(server)
	created := 0
	f.Create = func(ctx context.Context, path string) (sinks.FileWriter, error) {
		created++
		return p.create(ctx, path)
	}
	n := notesOf(t, p)
	if err := f.Run(t.Context(), walkOf(list), n, 1, func(sinks.Attachment) {}); err != nil {
		t.Fatal(err)
	}
	for _, a := range rows(t, n) {
		if a.Status != sinks.Fetched || p.staged["attachments/"+a.SHA256] != "the same" {
			t.Errorf("%+v", a)
		}
	}
	if created != 1 {
		t.Errorf("staged %d times", created)
	}
}

// I5: what is noted is not fetched again, wherever the process died, and a row half
// written is not one.
func TestI5RunGoesOnBehindItsNotes(t *testing.T) {
	for keep := range 8 {
		server := &fakeServer{}
		list := attachments(server, 7)
		p := newPlace(t)
		n := notesOf(t, p)
		if err := p.fetcher(server).Run(t.Context(), walkOf(list[:keep]), n, 2, func(sinks.Attachment) {}); err != nil {
			t.Fatal(err)
		}
		if err := n.Add([]byte(`{"type":"DocumentReference","id":"` + fmt.Sprint(keep))); err != nil {
			t.Fatal(err)
		}
		if err := n.Cut(n.Size() - 1); err != nil { // its line feed
			t.Fatal(err)
		}
		again := notesOf(t, p)
		told := 0
		if err := p.fetcher(server).Run(t.Context(), walkOf(list), again, 2, func(sinks.Attachment) { told++ }); err != nil {
			t.Fatal(err)
		}
		if got := ids(rows(t, again)); got != "0 1 2 3 4 5 6" || told != 7-keep {
			t.Errorf("%d kept: rows %s, %d told", keep, got, told)
		}
		for _, a := range list {
			if server.requests(a.URL) != 1 {
				t.Errorf("%d kept: %s was asked for %d times", keep, a.URL, server.requests(a.URL))
			}
		}
	}
}

// Notes that are not about the walk count from where they differ not at all.
func TestNotesOfAnotherWalk(t *testing.T) {
	server := &fakeServer{}
	list := attachments(server, 6)
	p := newPlace(t)
	n := notesOf(t, p)
	nothing := func(sinks.Attachment) {}
	if err := p.fetcher(server).Run(t.Context(), walkOf(list), n, 2, nothing); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string][]Found{
		"other":   {list[0], list[2], list[3]},
		"shorter": {list[0]},
		"none":    nil,
	} {
		if err := p.fetcher(server).Run(t.Context(), walkOf(test), n, 2, nothing); err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, a := range test {
			want = append(want, a.Row.ID)
		}
		if got := ids(rows(t, n)); got != strings.Join(want, " ") {
			t.Errorf("%s: rows %s, want %v", name, got, want)
		}
		if err := p.fetcher(server).Run(t.Context(), walkOf(list), n, 2, nothing); err != nil {
			t.Fatal(err)
		}
	}
}

// A FHIR server that goes down stops the run: what it failed for is asked for again
// by the next try, and what was fetched before is not.
func TestDownServerStopsTheRun(t *testing.T) {
	server := &fakeServer{}
	list := attachments(server, 60)
	for i := 20; i < 60; i++ {
		server.pages[list[i].URL].code, server.pages[list[i].URL].passing = "server-error", true
	}
	// A few failures are no outage.
	for _, i := range []int{3, 4, 5, 9} {
		server.pages[list[i].URL].code, server.pages[list[i].URL].passing = "server-error", true
	}
	p := newPlace(t)
	n := notesOf(t, p)
	nothing := func(sinks.Attachment) {}
	err := p.fetcher(server).Run(t.Context(), walkOf(list), n, 4, nothing)
	var down *DownError
	if !errors.As(err, &down) || down.Class() != "" || down.Hint() == "" {
		t.Fatalf("%v", err)
	}
	if got := rows(t, n); len(got) != 20 {
		t.Errorf("%d rows are noted, want the 20 before the outage", len(got))
	}
	for _, a := range list {
		server.pages[a.URL].code = ""
	}
	if err := p.fetcher(server).Run(t.Context(), walkOf(list), n, 4, nothing); err != nil {
		t.Fatal(err)
	}
	got := rows(t, n)
	failed := 0
	for _, a := range got {
		if a.Status == sinks.Failed {
			failed++
		}
	}
	if len(got) != 60 || failed != 4 || server.requests("Binary/0") != 1 {
		t.Errorf("%d rows, %d failed, the first was asked for %d times", len(got), failed, server.requests("Binary/0"))
	}
}

func TestDownServerForWantOfAToken(t *testing.T) {
	server := &fakeServer{}
	list := attachments(server, 12)
	for _, a := range list {
		server.pages[a.URL].code, server.pages[a.URL].passing = "unauthorized", true
	}
	p := newPlace(t)
	err := p.fetcher(server).Run(t.Context(), walkOf(list), notesOf(t, p), 3, func(sinks.Attachment) {})
	var down *DownError
	if !errors.As(err, &down) || down.Class() != "auth" {
		t.Fatalf("%v", err)
	}
}

// F45: with Record the outage is recorded, and so is always that of another origin;
// neither is asked for each of its contents.
func TestF45OutageIsRecorded(t *testing.T) {
	for name, prefix := range map[string]string{"own": "Binary/", "elsewhere": "https://dead.example.org/"} {
		server := &fakeServer{pages: map[string]*page{}}
		var list []Found
		for i := range 100 {
			a := Found{Row: sinks.Attachment{Type: "DocumentReference", ID: fmt.Sprint(i), Path: "content[0].attachment"}, URL: fmt.Sprint(prefix, i)}
			server.pages[a.URL] = &page{code: "network", passing: true}
			list = append(list, a)
		}
		p := newPlace(t)
		n := notesOf(t, p)
		f := p.fetcher(server)
		f.Record = name == "own"
		if err := f.Run(t.Context(), walkOf(list), n, 3, func(sinks.Attachment) {}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		codes := map[string]int{}
		for _, a := range rows(t, n) {
			codes[string(a.Status)+" "+a.Code]++
		}
		asked := 0
		for _, a := range list {
			asked += server.requests(a.URL)
		}
		if codes["failed network"]+codes["failed unavailable"] != 100 || codes["failed unavailable"] < 80 || asked > 20 {
			t.Errorf("%s: %v after %d requests", name, codes, asked)
		}
	}
}

// A full disk ends the run; what was noted stays.
func TestRunEndsWithTheDisk(t *testing.T) {
	server := &fakeServer{}
	list := attachments(server, 50)
	p := newPlace(t)
	n := notesOf(t, p)
	f := p.fetcher(server)
	if err := f.Run(t.Context(), walkOf(list[:10]), n, 4, func(sinks.Attachment) {}); err != nil {
		t.Fatal(err)
	}
	p.full = true
	if err := f.Run(t.Context(), walkOf(list), n, 4, func(sinks.Attachment) {}); !errors.Is(err, errDiskFull) {
		t.Fatalf("%v", err)
	}
	if got := len(rows(t, n)); got != 10 {
		t.Errorf("%d rows", got)
	}
	walk := errors.New("walk")
	err := f.Run(t.Context(), func(func(Found) error) error { return walk }, n, 4, func(sinks.Attachment) {})
	if !errors.Is(err, walk) {
		t.Errorf("%v", err)
	}
}

// I6, I7: neither rows nor errors have a URL.
func TestI6NoURLInRows(t *testing.T) {
	server := &fakeServer{}
	list := attachments(server, 30)
	for i := range list {
		list[i].URL += "?sig=s3cr3t"
	}
	for i := range 8 {
		server.pages[list[i].URL] = &page{code: "network", passing: true}
	}
	p := newPlace(t)
	n := notesOf(t, p)
	if err := p.fetcher(server).Run(t.Context(), walkOf(list), n, 4, func(sinks.Attachment) {}); err != nil && strings.Contains(err.Error(), "s3cr3t") {
		t.Error(err)
	}
	text, err := io.ReadAll(n.Open(0))
	if err != nil || bytes.Contains(text, []byte("s3cr3t")) || bytes.Contains(text, []byte("Binary/")) {
		t.Errorf("%v\n%s", err, text)
	}
}
