package pipeline

import (
	"cmp"
	"slices"

	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

// untyped is where lines are counted that belong to no type: those of files
// that name none, and are no resources.
const untyped = "unknown"

// The reasons of a type that did not come whole, beside those of plan.Doubts.
const (
	failedThere = "error outcome"
	unproved    = "end not proved" // nothing says that its body was not cut (F33)
	miscount    = "count mismatch" // F37
	sentShort   = "sent short"     // less came than the server promised (F52)
	badLines    = "quarantined"    // a line of it did not come in a readable form (F40)
	notListed   = "parameter ignored"
	notGranted  = "not granted"
)

// delivery is a landed body as the reconciliation sees it.
type delivery struct {
	task ledger.Task
	info *spool.Info
}

// account is what the numbers of a run are made of.
type account struct {
	plan        plan
	asked       []string // types of the job; nil: all
	deliveries  []delivery
	conversions map[string]map[string]conversion // by type, by sink
	takers      func(typ string) []string        // sinks that hold a type
}

// tally is what the numbers of a run come to.
type tally struct {
	deliveries []delivery
	types      []sinks.TypeCount // sorted by type
	doubt      string            // why no type is known to have come whole; "" when that is not so
}

// doubtAll says of every type that it did not come whole, and why unless there is
// a reason of its own.
func (t *tally) doubtAll(why string) {
	if t.doubt == "" {
		t.doubt = why
	}
	for i := range t.types {
		if c := &t.types[i]; c.Complete {
			c.Complete, c.Reason = false, t.doubt
		}
	}
}

// reconcile adds the numbers up per type (I3): what was delivered must be what
// is published, quarantined, superseded, an outcome or a header, by every sink.
// It is an error of the class quality when they do not, and nothing may be
// published then. It says which types came whole (I2), and why others did not.
func reconcile(a account) (*tally, error) {
	counts := map[string]*sinks.TypeCount{}
	of := func(typ string) *sinks.TypeCount {
		c := counts[typ]
		if c == nil {
			c = &sinks.TypeCount{Type: typ, Complete: true}
			counts[typ] = c
		}
		return c
	}
	declared := map[string]int64{}
	uncounted := map[string]bool{}
	listed := map[string]bool{} // types of which something came, if only an empty file
	doubt := a.plan.Doubts[anyType]
	var lines int64
	for _, d := range a.deliveries {
		why := flaw(d)
		if !data(d.task.Kind) { // its errors and deletions may be of any type
			doubt = cmp.Or(doubt, why)
			continue
		}
		lines += d.info.Lines
		home := homeOf(d)
		rest := d.info.Lines
		for _, t := range d.info.Types {
			listed[t.Type] = true
			if t.Type != home {
				of(t.Type).Delivered += t.Lines
				rest -= t.Lines
			}
			if why != "" {
				of(t.Type).Complete, of(t.Type).Reason = false, why
			}
		}
		listed[home] = true
		c := of(home)
		c.Delivered += rest
		c.Quarantined += d.info.Quarantined
		c.Outcomes += d.info.Outcomes
		c.Headers += d.info.Headers
		if why != "" {
			c.Complete, c.Reason = false, why
			if home == untyped {
				doubt = cmp.Or(doubt, why)
			}
		}
		if d.task.Type != "" && d.task.Kind == kindOutput {
			if d.task.Count < 0 {
				uncounted[d.task.Type] = true
			} else {
				declared[d.task.Type] += d.task.Count
			}
		}
	}
	for typ, n := range declared {
		if !uncounted[typ] {
			of(typ).Declared = &n
		}
	}

	for _, typ := range a.asked {
		switch c := of(typ); {
		case len(a.plan.Ignored) > 0 && !listed[typ]:
			c.Complete, c.Reason = false, notListed // F18: it may be what the server ignored
		case c.Delivered == 0 && c.Complete:
			c.Reason = "none"
		}
	}
	for typ, why := range a.plan.Doubts {
		if typ != anyType {
			of(typ).Complete, of(typ).Reason = false, why
		}
	}
	for _, typ := range a.plan.NotGranted {
		c := of(typ)
		c.Complete, c.Reason = false, notGranted
	}
	for typ, by := range a.conversions {
		c := of(typ)
		names := a.takers(typ)
		for _, name := range names {
			v, ok := by[name]
			if !ok {
				return nil, bug("%s has not converted %s", name, typ)
			}
			if v.Published != by[names[0]].Published || v.Superseded != by[names[0]].Superseded {
				return nil, bug("the sinks were given different rows of %s", typ)
			}
			var rows int64
			for _, f := range v.Files {
				rows += f.Rows
			}
			if rows != v.Published {
				return nil, bug("%s holds %d rows of %s, %d are to be published", name, rows, typ, v.Published)
			}
			c.Published, c.Superseded = v.Published, v.Superseded
			c.Losses.Add(v.Losses)
		}
	}
	var total int64
	list := make([]sinks.TypeCount, 0, len(counts))
	for _, c := range counts {
		if into := c.Published + c.Quarantined + c.Superseded + c.Outcomes + c.Headers + c.Filtered; c.Delivered != into {
			return nil, bug("of %s, %d lines were delivered and %d are accounted for", c.Type, c.Delivered, into)
		}
		total += c.Delivered
		if c.Type == untyped && c.Delivered == 0 {
			continue
		}
		list = append(list, *c)
	}
	if total != lines {
		return nil, bug("%d lines were delivered and %d are counted under a type", lines, total)
	}
	slices.SortFunc(list, func(a, b sinks.TypeCount) int { return cmp.Compare(a.Type, b.Type) })
	sum := &tally{deliveries: a.deliveries, types: list}
	if doubt != "" {
		sum.doubtAll(doubt)
	}
	return sum, nil
}

// flaw says why what came with a body is not whole; "" when nothing says so.
func flaw(d delivery) string {
	switch {
	case (d.task.Kind == kindOutput || d.task.Kind == kindMember) && miscounted(d):
		return miscount
	case d.info.Unproved:
		return unproved
	case errorsOf(d.info) > 0:
		return failedThere
	case d.task.Kind == kindError && len(d.info.Types) > 0: // nobody knows what they say
		return failedThere
	case d.info.Short:
		return sentShort
	case d.info.Quarantined > 0:
		return badLines
	}
	return ""
}

// homeOf is the type under which the lines of a body are counted that are no
// resources: the declared one, or the only one that it has.
func homeOf(d delivery) string {
	switch {
	case d.task.Type != "":
		return d.task.Type
	case len(d.info.Types) == 1:
		return d.info.Types[0].Type
	}
	return untyped
}

// miscounted reports whether the server announced another number of lines than
// came (F37). Some count every line, some only the resources.
func miscounted(d delivery) bool {
	n, i := d.task.Count, d.info
	return n >= 0 && n != i.Lines && n != i.Lines-i.Outcomes-i.Headers
}

// errorsOf counts the issues that say that something is missing.
func errorsOf(i *spool.Info) (n int64) {
	for _, issue := range i.Issues {
		if missing(issue.Severity) {
			n += issue.Count
		}
	}
	return n
}

// reported counts the errors that the server told of in all bodies.
func reported(deliveries []delivery) (n int64) {
	for _, d := range deliveries {
		n += errorsOf(d.info)
	}
	return n
}

// judge applies the job's policies to what came: error outcomes of the server
// (I2), and a full run with nothing in it (F26).
func (x *execution) judge(sum *tally) error {
	if failed := reported(sum.deliveries); failed > 0 {
		if x.r.Job.Policies.OnServerErrors != "warn" {
			return &Failure{
				Text:   "the server reported errors about the data, it did not come whole: " + failing(outcomesOf(sum.deliveries)),
				Advice: "its log may say more; set policies.on_server_errors: warn to publish what came, with the OperationOutcomes",
				Kind:   classQuality,
			}
		}
		x.warn("server-errors", x.r.advice("the server reported errors about the data: it did not come whole",
			"OperationOutcomes among the lines report errors: the export that the files are from may not have come whole"), failed)
	}
	var published int64
	for _, c := range sum.types {
		published += c.Published
	}
	for _, d := range sum.deliveries {
		typ := homeOf(d)
		if d.info.Unproved {
			x.warn("end-not-proved", "files of "+typ+" came without length, count, compression or a mark of their end: that they are whole cannot be checked, and the next run asks for all of it again", 1)
		}
		if d.task.Kind == kindOutput && miscounted(d) {
			x.warn("count-mismatch", "the server announced another number of "+typ+" than it sent", 1)
		}
	}
	if published == 0 && !x.plan.incremental() && !x.r.Job.Policies.AllowEmpty {
		return &Failure{
			Text:   x.r.advice("a full run brought no resource at all", "there is no resource in the files"),
			Advice: x.r.advice("an emptied group or a lost consent looks like this; set policies.allow_empty: true where it is right", "check the paths; --allow-empty publishes a snapshot with nothing in it"),
			Kind:   classQuality,
		}
	}
	return nil
}
