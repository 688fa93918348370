package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

// conversion is what the ledger keeps of one sink's files of one type (I5).
type conversion struct {
	Sink string `json:"-"`
	Type string `json:"-"`
	// Input names the parts that it was made of: with others it is out of date.
	Input      string       `json:"input"`
	Delivered  int64        `json:"delivered"`
	Published  int64        `json:"published"`
	Superseded int64        `json:"superseded"`
	Left       int          `json:"left,omitempty"`     // columns without room
	Repeated   int64        `json:"repeated,omitempty"` // lines with the id of another one
	Files      []sinks.File `json:"files"`
	Losses     sinks.Losses `json:"losses"`
	Schema     []byte       `json:"schema,omitempty"`
}

// converter converts the types of a run, each once unless a late file brings
// more of it.
type converter struct {
	x      *execution
	b      *board
	budget *budget
	cpu    *semaphore.Weighted

	mu   sync.Mutex
	done map[string]map[string]conversion // by type, by sink: as the ledger has it
	busy map[string]*sync.Mutex           // one conversion of a type at a time
}

func (x *execution) newConverter(ctx context.Context, b *board) (*converter, error) {
	c := &converter{
		x: x, b: b, budget: newBudget(x.r.Job.Policies.Memory), cpu: processors(),
		done: map[string]map[string]conversion{}, busy: map[string]*sync.Mutex{},
	}
	recorded, err := x.r.Ledger.Conversions(ctx, x.id)
	if err != nil {
		return nil, err
	}
	for _, rec := range recorded {
		v := conversion{Sink: rec.Sink, Type: rec.Type}
		if err := json.Unmarshal([]byte(rec.Output), &v); err != nil {
			return nil, fmt.Errorf("read conversion: %w", err)
		}
		c.keep(v)
	}
	return c, nil
}

func (c *converter) keep(v conversion) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done[v.Type] == nil {
		c.done[v.Type] = map[string]conversion{}
	}
	c.done[v.Type][v.Sink] = v
}

// recorded returns the conversions of a type.
func (c *converter) recorded(typ string) map[string]conversion {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.done[typ])
}

// all are the types that the snapshot has files of: those with lines, and those
// asked for or published before, which must not vanish when nothing came.
func (c *converter) all() []string {
	types := c.b.types()
	types = append(types, c.x.plan.Types...)
	types = append(types, c.x.plan.NotGranted...)
	if len(c.x.plan.Types) == 0 && c.x.latest != nil {
		for _, schemas := range c.x.latest.Schemas {
			types = slices.AppendSeq(types, maps.Keys(schemas))
		}
	}
	types = slices.DeleteFunc(types, func(t string) bool { return !spool.PlausibleType(t) })
	slices.Sort(types)
	return slices.Compact(types)
}

// expected are the types that are known of before anything has landed.
func (c *converter) expected() map[string]bool {
	types := map[string]bool{}
	for _, typ := range c.all() {
		types[typ] = true
	}
	for _, t := range c.b.tasks {
		if data(t.Kind) && t.Type != "" {
			types[t.Type] = true
		}
	}
	return types
}

// convert makes the files of one type by every sink that has not made them of
// just these parts yet.
func (c *converter) convert(ctx context.Context, typ string) error {
	c.mu.Lock()
	one := c.busy[typ]
	if one == nil {
		one = new(sync.Mutex)
		c.busy[typ] = one
	}
	c.mu.Unlock()
	one.Lock()
	defer one.Unlock()

	parts, keys := c.b.of(typ)
	input := inputOf(parts)
	have := c.recorded(typ)
	takers, err := c.x.r.takers(typ)
	if err != nil {
		return err
	}
	var todo []sinks.Sink
	stale := false
	for _, s := range takers {
		v, ok := have[s.Name()]
		stale = stale || ok && v.Input != input
		if !ok {
			todo = append(todo, s)
		}
	}
	if stale {
		if err := c.undo(ctx, typ, keys, have); err != nil {
			return err
		}
		todo = takers
	}
	c.b.begin(typ, len(todo))
	if len(todo) == 0 {
		return nil
	}
	if err := c.make(ctx, typ, input, parts, keys, todo); err != nil {
		return fmt.Errorf("convert %s: %w", typ, causeOf(err, parts))
	}
	if !stale {
		c.x.obs.count(func(p *Progress) { p.TypesDone++; p.Types = max(p.Types, p.TypesDone) })
	}
	c.x.obs.event(Event{Kind: "type", Type: typ})
	return nil
}

// takers are the sinks that can hold a type: a format that is led by the
// definitions holds none that R4 does not have (F29). At least one must.
func (r *Runner) takers(typ string) ([]sinks.Sink, error) {
	var list []sinks.Sink
	for _, s := range r.Sinks {
		if t, ok := s.(interface{ Takes(typ string) bool }); !ok || t.Takes(typ) {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil, &Failure{
			Text:   "no sink of the job can hold the resource type " + typ,
			Advice: r.advice("add an ndjson sink, which holds any type", "add --sink ndjson, which holds any type"),
			Kind:   classQuality,
		}
	}
	return list, nil
}

// undo forgets the conversions of a type that are out of date, and then their
// files.
func (c *converter) undo(ctx context.Context, typ string, keys []string, have map[string]conversion) error {
	if err := c.x.r.Ledger.Unconvert(ctx, c.x.id, typ, keys); err != nil {
		return err
	}
	c.mu.Lock()
	delete(c.done, typ)
	c.mu.Unlock()
	c.x.step("conversion forgotten")
	for _, v := range have {
		for _, f := range v.Files {
			if err := c.x.stage.Remove(ctx, f.Path); err != nil {
				return fmt.Errorf("remove file of an earlier conversion: %w", err)
			}
		}
	}
	return nil
}

func (c *converter) make(ctx context.Context, typ, input string, parts []*spool.Part, keys []string, todo []sinks.Sink) (err error) {
	if err := c.cpu.Acquire(ctx, 1); err != nil {
		return context.Cause(ctx)
	}
	defer c.cpu.Release(1)
	in := sinks.Input{Type: typ, Run: c.x.id}
	base := conversion{Type: typ, Input: input}
	var bytes int64
	if len(parts) > 0 {
		o := c.x.selectOptions(c.budget, parts)
		if err := c.budget.free.Acquire(ctx, o.Memory); err != nil {
			return context.Cause(ctx)
		}
		sel, err := c.x.spool.Select(ctx, typ, parts, o)
		c.budget.give(o.Memory)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, sel.Close()) }()
		for _, v := range sel.Views {
			in.Parts = append(in.Parts, watchedPart{v, c.x})
			bytes += v.Bytes()
		}
		c.x.obs.count(func(p *Progress) { p.ToConvert += bytes * int64(len(todo)) })
		in.Columns = sel.Tree
		base.Delivered, base.Published, base.Superseded = sel.Delivered, sel.Published, sel.Superseded
		base.Left, base.Repeated = sel.Left, sel.Repeated
		c.x.step("selected")
	}
	group, gctx := errgroup.WithContext(ctx)
	for _, s := range todo {
		group.Go(func() error { return c.sink(gctx, s, in, base, bytes, keys) })
	}
	return group.Wait()
}

// selectOptions say how lines of the same id are taken: always the same way.
func (x *execution) selectOptions(b *budget, parts []*spool.Part) spool.SelectOptions {
	return spool.SelectOptions{
		Memory: b.total / 8,
		// A server's files are what it holds; its pages repeat what they like (F53),
		// and so do the blocks of files that are organized by a resource (P30), and two
		// exports of a run.
		KeepUndated: x.r.Job.Export.Mode != "search" && !organized(parts) && !x.plan.newcomers(),
	}
}

// organized reports whether headers stand among the lines: the files consist of
// blocks, and each may repeat what others have too.
func organized(parts []*spool.Part) bool {
	return slices.ContainsFunc(parts, func(p *spool.Part) bool { return p.Info().Headers > 0 })
}

// sink converts by one sink and records the files, which are closed and durable
// by then.
func (c *converter) sink(ctx context.Context, s sinks.Sink, in sinks.Input, v conversion, bytes int64, keys []string) error {
	share, err := c.budget.take(ctx, bytes)
	if err != nil {
		return err
	}
	in.Budget = share
	in.Scratch = c.scratch
	if c.x.latest != nil {
		if schema, ok := c.x.latest.Schemas[s.Name()][in.Type]; ok {
			in.Earlier = []byte(schema)
		}
	}
	out, err := s.Convert(ctx, in, c.x.stage)
	c.budget.give(share)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name(), err)
	}
	c.x.step("converted")
	v.Sink, v.Files, v.Losses, v.Schema = s.Name(), out.Files, out.Losses, out.Schema
	var rows int64
	for _, f := range out.Files {
		rows += f.Rows
	}
	if rows != v.Published {
		return bug("%s wrote %d rows of %s, %d are to be published", s.Name(), rows, in.Type, v.Published)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode conversion: %w", err)
	}
	rec := ledger.Conversion{Sink: v.Sink, Type: v.Type, Rows: rows, Output: string(text)}
	if err := c.x.r.Ledger.Convert(ctx, c.x.id, rec, c.b.converted(in.Type, keys)); err != nil {
		return err
	}
	c.keep(v)
	c.x.step("conversion recorded")
	return nil
}

// scratch is sinks.Input.Scratch: on the disk of the spool.
func (c *converter) scratch() (sinks.Scratch, error) {
	f, err := c.x.spool.Scratch()
	if err != nil {
		return nil, err
	}
	return f, nil
}

// inputOf names the parts by what is in them.
func inputOf(parts []*spool.Part) string {
	var list []string
	for _, p := range parts {
		list = append(list, p.Key()+" "+p.Info().SHA256)
	}
	return digest(list)
}
