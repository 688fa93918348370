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

// unproved is the reason of a type that came in a body of which nothing says that
// it was not cut (F33).
const unproved = "end not proved"

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

// reconcile adds the numbers up per type (I3): what was delivered must be what
// is published, quarantined, superseded, an outcome or a header, by every sink.
// It is an error of the class quality when they do not, and nothing may be
// published then. It says which types came whole (I2), and why others did not.
func reconcile(a account) ([]sinks.TypeCount, error) {
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
	every := "" // why no type came whole
	var lines, resources int64
	for _, d := range a.deliveries {
		switch d.task.Kind {
		case kindError, kindDeleted:
			switch {
			case errorsOf(d.info) > 0:
				every = "error outcome"
			case d.info.Unproved:
				every = cmp.Or(every, unproved)
			}
			continue
		}
		lines += d.info.Lines
		home := homeOf(d)
		rest := d.info.Lines
		var whole int64
		for _, t := range d.info.Types {
			whole += t.Lines
			if t.Type != home {
				of(t.Type).Delivered += t.Lines
				rest -= t.Lines
			}
		}
		resources += whole
		c := of(home)
		c.Delivered += rest
		c.Quarantined += d.info.Quarantined
		c.Outcomes += d.info.Outcomes
		c.Headers += d.info.Headers
		if errorsOf(d.info) > 0 {
			c.Complete, c.Reason = false, "error outcome"
			if home == untyped {
				every = "error outcome"
			}
		}
		if d.task.Type != "" && d.task.Kind == kindOutput {
			if d.task.Count < 0 {
				uncounted[d.task.Type] = true
			} else {
				declared[d.task.Type] += d.task.Count
			}
		}
		if d.info.Unproved {
			c.Complete, c.Reason = false, unproved
			for _, t := range d.info.Types {
				of(t.Type).Complete, of(t.Type).Reason = false, unproved
			}
		}
		if d.task.Kind == kindOutput && miscounted(d) {
			c.Complete, c.Reason = false, "count mismatch"
		}
	}
	for typ, n := range declared {
		if !uncounted[typ] {
			of(typ).Declared = &n
		}
	}

	asked := a.asked
	for _, typ := range asked {
		if c := of(typ); c.Delivered == 0 && c.Complete {
			c.Reason = "none"
		}
	}
	for _, typ := range a.plan.NotGranted {
		c := of(typ)
		c.Complete, c.Reason = false, "not granted"
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
	if every != "" {
		for _, c := range counts {
			c.Complete, c.Reason = false, cmp.Or(reasonUnless(c.Reason, "none"), every)
		}
	}

	var sum int64
	list := make([]sinks.TypeCount, 0, len(counts))
	for _, c := range counts {
		if into := c.Published + c.Quarantined + c.Superseded + c.Outcomes + c.Headers + c.Filtered; c.Delivered != into {
			return nil, bug("of %s, %d lines were delivered and %d are accounted for", c.Type, c.Delivered, into)
		}
		sum += c.Delivered
		if c.Type == untyped && c.Delivered == 0 {
			continue
		}
		list = append(list, *c)
	}
	if sum != lines {
		return nil, bug("%d lines were delivered and %d are counted under a type", lines, sum)
	}
	slices.SortFunc(list, func(a, b sinks.TypeCount) int { return cmp.Compare(a.Type, b.Type) })
	return list, nil
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

// proved reports whether every body is known to have come to its end (F33).
func proved(deliveries []delivery) bool {
	return !slices.ContainsFunc(deliveries, func(d delivery) bool { return d.info.Unproved })
}

func reasonUnless(reason, not string) string {
	if reason == not {
		return ""
	}
	return reason
}

// judge applies the job's policies to what came: error outcomes of the server
// (I2), and a full run with nothing in it (F26).
func (x *execution) judge(deliveries []delivery, counts []sinks.TypeCount) error {
	if failed := reported(deliveries); failed > 0 {
		if x.r.Job.Policies.OnServerErrors != "warn" {
			return &Failure{
				Text:   "the server reported errors about the data, it did not come whole: " + failing(outcomesOf(deliveries)),
				Advice: "its log may say more; set policies.on_server_errors: warn to publish what came, with the OperationOutcomes",
				Kind:   classQuality,
			}
		}
		x.warn("server-errors", x.r.advice("the server reported errors about the data: it did not come whole",
			"OperationOutcomes among the lines report errors: the export that the files are from may not have come whole"), failed)
	}
	var published int64
	for _, c := range counts {
		published += c.Published
		if c.Reason == unproved {
			x.warn("end-not-proved", "files of "+c.Type+" came without length, count, compression or a mark of their end: that they are whole cannot be checked, and the next run asks for all of it again", 1)
		}
		if c.Reason == "count mismatch" {
			x.warn("count-mismatch", "the server announced another number of "+c.Type+" than it sent", 1)
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
