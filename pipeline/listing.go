package pipeline

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/singleflight"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
)

// The kinds of tasks: the lists of a manifest, the partitions of a search, and
// the files of a conversion.
const (
	kindOutput    = "output"
	kindMember    = "member" // output of a list of members: not published
	kindError     = "error"
	kindDeleted   = "deleted"
	kindPartition = "partition"
	kindFile      = "file"
)

// listFiles makes the tasks of a manifest. A task's identity is its list, type
// and ordinal, never its URL (P35); of the URL the path is kept, to tell apart
// a server that gives fresh links from one that lists in another order. The key
// begins with the generation of the listing.
func listFiles(m *export.Manifest, generation int) (tasks []ledger.Task, files map[string]export.File) {
	files = make(map[string]export.File, len(m.Output)+len(m.Error)+len(m.Deleted))
	for _, list := range []struct {
		kind  string
		files []export.File
	}{{kindOutput, m.Output}, {kindError, m.Error}, {kindDeleted, m.Deleted}} {
		for i, f := range list.files {
			typ := f.Type
			if !spool.PlausibleType(typ) {
				typ = "" // its lines say what they are (F29, F32)
			}
			t := ledger.Task{
				Key:  fmt.Sprintf("%d/%s/%s/%06d", generation, list.kind, typ, i),
				Kind: list.kind, Type: typ, Ordinal: i, Count: f.Count, Path: pathOf(f.URL),
			}
			tasks = append(tasks, t)
			files[t.Key] = f
		}
	}
	return tasks, files
}

// pathOf is the path of a URL without query and fragment (I6).
func pathOf(link string) string {
	u, err := url.Parse(link)
	if err != nil {
		return ""
	}
	return u.EscapedPath()
}

// movedError says that the manifest of an export lists other files than before.
type movedError struct{ what string }

func (e *movedError) Error() string {
	return "the server's list of files changed between two requests: " + e.what
}

// Hint says what to do.
func (e *movedError) Hint() string {
	return "run the job again: it starts anew; if the server does this each time, its files cannot be told apart"
}

// Class puts the error among those of the server.
func (e *movedError) Class() string { return classServer }

// match finds the files of known tasks in a manifest that was fetched again.
// Where the paths are the same, they decide, in whatever order they come. Where
// every path is new, or one path serves several files, the ordinal decides and
// moved is true. Anything between
// could give one file's place to another, and is a *movedError.
func match(tasks []ledger.Task, m *export.Manifest, generation int) (files map[string]export.File, moved bool, err error) {
	fresh, links := listFiles(m, generation)
	type group struct{ kind, typ string }
	groups := map[group][]ledger.Task{}
	for _, t := range fresh {
		g := group{t.Kind, t.Type}
		groups[g] = append(groups[g], t)
	}
	old := map[group][]ledger.Task{}
	for _, t := range tasks {
		g := group{t.Kind, t.Type}
		old[g] = append(old[g], t)
	}
	if len(tasks) != len(fresh) || len(old) != len(groups) {
		return nil, false, &movedError{fmt.Sprintf("%d files instead of %d", len(fresh), len(tasks))}
	}
	files = make(map[string]export.File, len(tasks))
	for g, before := range old {
		now := groups[g]
		if len(now) != len(before) {
			return nil, false, &movedError{fmt.Sprintf("%d files of one type instead of %d", len(now), len(before))}
		}
		byOrdinal := func(a, b ledger.Task) int { return a.Ordinal - b.Ordinal }
		slices.SortFunc(before, byOrdinal)
		slices.SortFunc(now, byOrdinal)

		byPath := make(map[string]ledger.Task, len(now))
		for _, t := range now {
			byPath[t.Path] = t
		}
		same := 0
		for _, t := range before {
			if _, ok := byPath[t.Path]; ok {
				same++
			}
		}
		unique := len(byPath) == len(now)
		for i, t := range before {
			to := now[i]
			switch {
			case same == len(before) && unique:
				to = byPath[t.Path]
			case same == 0:
				moved = true
			case !unique && to.Path == t.Path:
				// One path for several files, told apart by their queries: the order
				// decides.
				moved = true
			default:
				return nil, false, &movedError{"some files have another path, some have not"}
			}
			if to.Count != t.Count {
				return nil, false, &movedError{"a file has another count"}
			}
			files[t.Key] = links[to.Key]
		}
	}
	return files, moved, nil
}

// links are the files of a run's tasks with links that work, renewed when they
// expire (P35).
type links struct {
	fetch func(ctx context.Context) (map[string]export.File, error)

	one   singleflight.Group
	mu    sync.Mutex
	files map[string]export.File
	round int // how often they were renewed
}

// get returns the file of a task and the round that its link is from.
func (l *links) get(key string) (export.File, int, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f, ok := l.files[key]
	return f, l.round, ok
}

// set takes fresh links.
func (l *links) set(files map[string]export.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = files
	l.round++
}

// renew fetches fresh links, once for all who found those of the round expired.
func (l *links) renew(ctx context.Context, round int) error {
	_, err, _ := l.one.Do("", func() (any, error) {
		l.mu.Lock()
		current := l.round
		l.mu.Unlock()
		if current != round {
			return nil, nil
		}
		files, err := l.fetch(ctx)
		if err != nil {
			return nil, err
		}
		l.set(files)
		return nil, nil
	})
	return err
}

// typeName is how a task's type is called before people.
func typeName(typ string) string {
	if typ == "" {
		return "untyped"
	}
	return strings.ToValidUTF8(typ, "")
}
