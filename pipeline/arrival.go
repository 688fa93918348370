package pipeline

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks"
)

// absent are the members whom the tasks were to bring and of whom no Patient came:
// all members of a full run, those who joined of a delta. To be in a list is not to
// be exported, and who did not come must not be known to the next run (I2, I3).
func (x *execution) absent(ctx context.Context, c *census, tasks []ledger.Task) (idSet, error) {
	if x.selective() {
		return nil, nil
	}
	wanted := c.members
	if x.plan.Kind == sinks.Delta {
		wanted = nil
		for _, name := range c.newcomers {
			wanted = append(wanted, spool.NewID(patientType, name))
		}
		wanted = wanted.sorted()
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	came := make([]bool, len(wanted))
	for _, t := range tasks {
		if !data(t.Kind) {
			continue
		}
		p, err := x.listed(t)
		if err != nil {
			return nil, err
		}
		if i := p.Info(); i.Of(patientType).Lines == 0 {
			continue
		}
		if err := p.EachID(ctx, func(id spool.ID) {
			if i, ok := wanted.find(id); ok {
				came[i] = true
			}
		}); err != nil {
			return nil, err
		}
	}
	var missing idSet
	for i, id := range wanted {
		if !came[i] {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// selective reports whether the job asks for some of the members' Patients only, so
// that a member without one came all the same.
func (x *execution) selective() bool {
	e := x.r.Job.Export
	return !e.Until.IsZero() || slices.ContainsFunc(e.TypeFilters, func(f string) bool { return strings.HasPrefix(f, patientType+"?") })
}

// came says why not all newcomers came by their export, whose tasks have landed; ""
// when they did, or when it was the same with the last snapshot: everything was asked
// for then, and did not hold them either.
func (x *execution) came(ctx context.Context, tasks []ledger.Task) (why string, err error) {
	all, err := x.r.Ledger.Tasks(ctx, x.id)
	if err != nil {
		return "", err
	}
	c, err := x.census(ctx, all)
	var unknown *unknownMembersError
	if errors.As(err, &unknown) {
		return unknown.why(), nil
	}
	if err != nil {
		return "", err
	}
	missing, err := x.absent(ctx, c, tasks)
	if err != nil {
		return "", lostList(err)
	}
	if int64(len(missing)) > x.latest.Members.Absent {
		return "the newcomers' export did not bring everybody who joined", nil
	}
	return "", nil
}
