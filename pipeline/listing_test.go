package pipeline

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/ledger"
)

func manifestOf(paths ...string) *export.Manifest {
	m := &export.Manifest{}
	for i, p := range paths {
		m.Output = append(m.Output, export.File{Type: "Patient", URL: "https://files.example.org" + p, Count: -1, Ordinal: i})
	}
	return m
}

// P35: a file's identity is its list, type and ordinal; its path only tells
// whether the server keeps the order.
func TestP35Match(t *testing.T) {
	before := manifestOf("/a?sig=1", "/b?sig=1", "/c?sig=1")
	tests := []struct {
		name  string
		after *export.Manifest
		want  []string // the path that each task gets; nil: refused
		moved bool
	}{
		{"the same", before, []string{"/a", "/b", "/c"}, false},
		{"fresh signatures", manifestOf("/a?sig=2", "/b?sig=2", "/c?sig=2"), []string{"/a", "/b", "/c"}, false},
		{"another order", manifestOf("/c", "/a", "/b"), []string{"/a", "/b", "/c"}, false},
		{"other paths", manifestOf("/x", "/y", "/z"), []string{"/x", "/y", "/z"}, true},
		{"some other paths", manifestOf("/a", "/y", "/c"), nil, false},
		{"one path for all", manifestOf("/f?n=1", "/f?n=2", "/f?n=3"), []string{"/f?n=1", "/f?n=2", "/f?n=3"}, true},
		{"fewer", manifestOf("/a", "/b"), nil, false},
		{"more", manifestOf("/a", "/b", "/c", "/d"), nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tasks, _ := listFiles(before, 0)
			files, moved, err := match(tasks, tt.after, 0)
			var me *movedError
			if tt.want == nil {
				if !errors.As(err, &me) || me.Class() != classServer {
					t.Fatalf("match = %v, want *movedError", err)
				}
				return
			}
			if err != nil || moved != tt.moved {
				t.Fatalf("match = moved %v, %v; want %v", moved, err, tt.moved)
			}
			for i, task := range tasks {
				if got := files[task.Key].URL; !strings.HasPrefix(got, "https://files.example.org"+tt.want[i]) {
					t.Errorf("file %d is %s, want %s", i, got, tt.want[i])
				}
			}
		})
	}
}

func TestP35MatchRefusesOtherCountsAndTypes(t *testing.T) {
	before := manifestOf("/a", "/b")
	before.Output[0].Count = 5
	tasks, _ := listFiles(before, 0)
	for name, change := range map[string]func(*export.Manifest){
		"count": func(m *export.Manifest) { m.Output[0].Count = 6 },
		"type":  func(m *export.Manifest) { m.Output[0].Type = "Device" },
		"list":  func(m *export.Manifest) { m.Error, m.Output = m.Output[:1], m.Output[1:] },
	} {
		after := manifestOf("/a", "/b")
		after.Output[0].Count = 5
		change(after)
		if _, _, err := match(tasks, after, 0); err == nil {
			t.Errorf("another %s is taken for the same file", name)
		}
	}
}

// One path that serves all files by query, listed again in place.
func TestP35MatchSamePathForAll(t *testing.T) {
	before := manifestOf("/f?n=1", "/f?n=2")
	tasks, _ := listFiles(before, 0)
	files, moved, err := match(tasks, manifestOf("/f?n=1&s=2", "/f?n=2&s=2"), 0)
	if err != nil || !moved {
		t.Fatalf("match = %v, %v; want moved: their order is all that tells them apart", moved, err)
	}
	for i, task := range tasks {
		if want := fmt.Sprintf("n=%d&", i+1); !strings.Contains(files[task.Key].URL, want) {
			t.Errorf("file %d is %s", i, files[task.Key].URL)
		}
	}
}

// I6, F32: of a link the path is kept, of a hostile type nothing.
func TestI6ListFilesKeepsNoSecret(t *testing.T) {
	m := manifestOf("/files/a?token=s3cr3t#s3cr3t")
	m.Output = append(m.Output, export.File{Type: "../../etc", URL: "https://u:s3cr3t@files.example.org/b", Count: -1})
	tasks, files := listFiles(m, 3)
	for _, task := range tasks {
		if text := fmt.Sprintf("%+v", task); strings.Contains(text, "s3cr3t") || strings.Contains(text, "..") {
			t.Errorf("task holds what it must not: %s", text)
		}
		if !strings.HasPrefix(task.Key, "3/output/") {
			t.Errorf("key %q does not begin with its generation", task.Key)
		}
		if _, ok := files[task.Key]; !ok {
			t.Errorf("no file for %s", task.Key)
		}
	}
}

func TestBiggestFirst(t *testing.T) {
	tasks := []ledger.Task{
		{Key: "1", Kind: kindDeleted, Type: "Bundle", Count: 1e9},
		{Key: "2", Kind: kindOutput, Type: "Patient", Count: 10},
		{Key: "3", Kind: kindOutput, Type: "Observation", Count: 1000, Ordinal: 1},
		{Key: "4", Kind: kindOutput, Type: "Claim", Count: -1},
		{Key: "5", Kind: kindOutput, Type: "Observation", Count: 50_000, Ordinal: 2},
		{Key: "6", Kind: kindError, Type: "OperationOutcome", Count: 1},
	}
	got := ""
	for _, task := range biggestFirst(tasks) {
		got += task.Key
	}
	if got != "635421" {
		t.Errorf("order %s, want 635421: errors, the types together by size, deletions", got)
	}
}

// F29, I3: a type that nobody knows is published as it is, also where its name has a
// digit.
func TestF29UnknownTypeWithADigit(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 2, "Patient", "Observation")
	s.output[0].lines = append(s.output[0].lines, `{"resourceType":"Foo2","id":"1"}`)
	s.output = append(s.output, exportFile{typ: "Foo3", name: "Foo3.ndjson", lines: []string{`{"resourceType":"Foo3","id":"1"}`}})
	w := newWorld(t, s)
	m := w.run(t, Options{}).Manifest
	w.publishedAll(t, s)
	for _, typ := range []string{"Foo2", "Foo3"} {
		if c := countOf(t, m, typ); c.Published != 1 {
			t.Errorf("%+v", c)
		}
	}
}
