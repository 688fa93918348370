package pipeline

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The query of docs/deltas.md gives the server's state after every run of a chain:
// with deletions, with resources that come back, and with an older chain beside it.
func TestDocumentedDeltasInDuckDB(t *testing.T) {
	if os.Getenv("FLUE_TEST_DUCKDB") == "" {
		t.Skip("FLUE_TEST_DUCKDB is not set: the test needs python3 with duckdb")
	}
	text, err := os.ReadFile("../docs/deltas.md")
	must(t, err)
	_, query, _ := strings.Cut(string(text), "```sql\n")
	query, _, ok := strings.Cut(query, "```")
	if !ok {
		t.Fatal("docs/deltas.md has no query")
	}
	s := newExportServer(t)
	w := newWorld(t, s).withParquet()
	state := map[string]string{} // language by id: what the server holds
	at := 0
	run := func(o Options) {
		t.Helper()
		at++
		w.run(t, o)
		want := []string{}
		for id, language := range state {
			want = append(want, id+" "+language)
		}
		slices.Sort(want)
		cmd := exec.Command("python3", "-c", `import sys, duckdb, json
c = duckdb.connect()
*before, state = [q for q in sys.stdin.read().split(";") if q.strip()]
for q in before: c.execute(q)
c.execute("create table state as " + state)
print(json.dumps([row[0] for row in c.execute("select id || ' ' || language from state").fetchall()]))`)
		cmd.Dir = filepath.Join(w.Dir, "out", w.Job.Name)
		cmd.Stdin = strings.NewReader(query)
		var errs strings.Builder
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("run %d: %v: %s", at, err, errs.String())
		}
		got := []string{}
		must(t, json.Unmarshal(out, &got))
		slices.Sort(got)
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("run %d (-want +got):\n%s", at, d)
		}
	}
	// serve makes the server export these changes, and lists these as deleted.
	serve := func(version string, ids []int, deleted ...int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f := exportFile{typ: "Patient", name: "p" + version}
		for _, id := range ids {
			f.lines = append(f.lines, resource("Patient", id, version))
			state[fmt.Sprintf("patient-%d", id)] = version
		}
		var gone []string
		for _, id := range deleted {
			gone = append(gone, entry("DELETE", fmt.Sprintf("Patient/patient-%d", id)))
			if !slices.Contains(ids, id) {
				delete(state, fmt.Sprintf("patient-%d", id))
			}
		}
		s.output, s.deleted = []exportFile{f}, nil
		if len(gone) > 0 {
			s.deleted = []exportFile{{typ: "Bundle", name: "d" + version, lines: []string{bundleOf(gone...)}}}
		}
	}
	serve("a", []int{1, 2, 3, 4, 5})
	run(Options{})
	serve("b", []int{2}, 3, 4)
	run(Options{})
	serve("c", []int{3}, 1)
	run(Options{})
	serve("d", nil, 3, 77)
	run(Options{})
	serve("e", []int{2, 4}, 2) // delivered and listed as deleted: it is there (F47)
	run(Options{})
	clear(state) // the next chain knows nothing of the first
	serve("f", []int{1, 9})
	run(Options{Full: true})
	serve("g", []int{9}, 1)
	run(Options{})
}
