package pipeline

import (
	"fmt"
	"slices"
	"sync"

	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
)

// maxTypes bounds the resource types of a run: a server that makes up names
// must not make us write a folder for each.
const maxTypes = 1000

// board is where a run's tasks stand, in memory.
type board struct {
	tasks []ledger.Task // in the order of delivery: kind, type, ordinal

	mu      sync.Mutex
	parts   map[string]*spool.Part // landed, by key
	waiting map[string]int         // output tasks that have not landed, by declared type
	seen    map[string]bool        // types that have lines
	queued  map[string]bool        // types whose conversion was begun while others land
	left    map[string]int         // sinks that have not converted a type yet
	bad     int64                  // quarantined lines
}

func newBoard(tasks []ledger.Task) *board {
	b := &board{
		tasks: tasks, parts: map[string]*spool.Part{}, waiting: map[string]int{},
		seen: map[string]bool{}, queued: map[string]bool{}, left: map[string]int{},
	}
	for _, t := range tasks {
		if data(t.Kind) {
			b.waiting[t.Type]++
		}
	}
	return b
}

// data reports whether the files of the kind hold resources to publish.
func data(kind string) bool { return kind == kindOutput || kind == kindPartition || kind == kindFile }

// landed notes a part and returns the types that it completes: those whose last
// declared file is there, and no file whose type is not known is missing. A file
// may hold lines of other types than declared (F30), so a type may turn out to
// have more lines later; then it is converted again.
func (b *board) landed(t ledger.Task, p *spool.Part) (ready []string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.parts[t.Key] = p
	info := p.Info()
	b.bad += info.Quarantined
	if !data(t.Kind) {
		return nil, nil
	}
	b.waiting[t.Type]--
	for _, typ := range info.Types {
		if !spool.PlausibleType(typ.Type) {
			return nil, bug("a part has lines of a type that is no name")
		}
		b.seen[typ.Type] = true
	}
	if len(b.seen) > maxTypes {
		return nil, &Failure{
			Text: fmt.Sprintf("the server sent resources of more than %d types", maxTypes),
			Kind: classQuality,
		}
	}
	if b.waiting[""] > 0 {
		return nil, nil
	}
	for typ := range b.seen {
		if b.waiting[typ] == 0 && !b.queued[typ] {
			b.queued[typ] = true
			ready = append(ready, typ)
		}
	}
	slices.Sort(ready)
	return ready, nil
}

// types are those that have lines, sorted.
func (b *board) types() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]string, 0, len(b.seen))
	for typ := range b.seen {
		list = append(list, typ)
	}
	slices.Sort(list)
	return list
}

// of returns the landed parts that have lines of the type, in the order of
// delivery, and the keys of their tasks.
func (b *board) of(typ string) (parts []*spool.Part, keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.tasks {
		p := b.parts[t.Key]
		if p != nil && data(t.Kind) && p.Info().Of(typ).Lines > 0 {
			parts = append(parts, p)
			keys = append(keys, t.Key)
		}
	}
	return parts, keys
}

// every returns all landed parts of the kinds, in the order of delivery.
func (b *board) every(kinds ...string) (parts []*spool.Part) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.tasks {
		if p := b.parts[t.Key]; p != nil && slices.Contains(kinds, t.Kind) {
			parts = append(parts, p)
		}
	}
	return parts
}

// begin notes that so many sinks are to convert the type.
func (b *board) begin(typ string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left[typ] = n
}

// converted notes that a sink has converted the type and returns the keys of the
// tasks of which nothing is left to convert.
func (b *board) converted(typ string, keys []string) (whole []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left[typ]--; b.left[typ] > 0 {
		return nil
	}
	for _, key := range keys {
		done := !slices.ContainsFunc(b.parts[key].Info().Types, func(t spool.TypeInfo) bool {
			left, begun := b.left[t.Type]
			return !begun || left > 0
		})
		if done {
			whole = append(whole, key)
		}
	}
	return whole
}
