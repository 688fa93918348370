package pipeline

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/sinks"
)

// expired says which of a job's snapshots, given the oldest first, retention
// lets go, in the order in which to delete them: whole chains only, the oldest
// first, and of a chain the newest delta first and the full snapshot last, so
// that a crash in between leaves a chain that is whole as far as it goes. The
// chain that latest is on stays, and so does each on which a snapshot is that
// one of the limits keeps, and the newest that begins with everything: a run that
// asked for changes since a fixed time, alone on its chain, is no substitute.
func expired(list []sinks.Snapshot, keep config.Retention, now time.Time) []string {
	if keep == (config.Retention{}) {
		return nil
	}
	chain := func(s sinks.Snapshot) string {
		if s.Base != "" {
			return s.Base
		}
		return s.Name // a full one; or a delta that rests on no snapshot
	}
	stays := map[string]bool{}
	if n := len(list); n > 0 {
		stays[chain(list[n-1])] = true // nothing is newer: whatever latest says
	}
	for _, s := range slices.Backward(list) {
		if s.Whole {
			stays[chain(s)] = true
			break
		}
	}
	since := now.AddDate(0, 0, -keep.KeepDays)
	for i, s := range list {
		young := keep.KeepDays > 0 && s.Published.After(since)
		if s.Latest || young || keep.Keep > 0 && len(list)-i <= keep.Keep {
			stays[chain(s)] = true
		}
	}
	var order []string
	members := map[string][]string{}
	for _, s := range list {
		c := chain(s)
		if stays[c] {
			continue
		}
		if members[c] == nil {
			order = append(order, c)
		}
		members[c] = append(members[c], s.Name)
	}
	var names []string
	for _, c := range order {
		slices.Reverse(members[c])
		names = append(names, members[c]...)
	}
	return names
}

// retire deletes the snapshots that the job's retention lets go. The run is
// published by then: what cannot be deleted is a warning, and the next run tries
// again.
func (x *execution) retire(ctx context.Context) {
	keep := x.r.Job.Retention
	if keep == (config.Retention{}) || x.plan.AdHoc {
		return
	}
	if err := x.deleteExpired(ctx, keep); err != nil {
		x.warn("snapshots-not-deleted", "snapshots that retention lets go could not be deleted", 1)
		x.r.log().Warn("delete snapshots", "run", x.id, "error", err)
	}
}

func (x *execution) deleteExpired(ctx context.Context, keep config.Retention) error {
	list, err := x.r.Store.Snapshots(ctx, x.r.Job.Name)
	if err != nil {
		return fmt.Errorf("list snapshots: %w", err)
	}
	for _, name := range expired(list, keep, x.r.now()) {
		if err := x.r.Store.Delete(ctx, x.r.Job.Name, name); err != nil {
			return fmt.Errorf("delete snapshot: %w", err)
		}
		x.deleted = append(x.deleted, name)
		x.obs.event(Event{Kind: "retention", Text: "snapshot " + name + " is deleted: retention lets it go"})
		x.step("snapshot deleted")
	}
	return nil
}
