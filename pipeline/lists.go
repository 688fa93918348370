package pipeline

import "github.com/flue-fhir/flue/sinks"

// listCounts adds up what came in the files of errors, of deletions and of members
// (I3).
func listCounts(deliveries []delivery, deletions *sinks.Deletions) (list []sinks.ListCount) {
	counts := map[string]*sinks.ListCount{}
	for _, d := range deliveries {
		if data(d.task.Kind) {
			continue
		}
		c := counts[d.task.Kind]
		if c == nil {
			c = &sinks.ListCount{List: d.task.Kind}
			counts[d.task.Kind] = c
		}
		c.Delivered += d.info.Lines
		c.Quarantined += d.info.Quarantined
		c.Outcomes += d.info.Outcomes
		c.Headers += d.info.Headers
		for _, t := range d.info.Types {
			c.Left += t.Lines
		}
	}
	if c := counts[kindDeleted]; c != nil && deletions != nil {
		c.Bundles, c.Left = c.Left-deletions.Rejected, 0
		c.Quarantined += deletions.Rejected
	}
	for _, kind := range []string{kindDeleted, kindError, kindMember} {
		if c := counts[kind]; c != nil {
			list = append(list, *c)
		}
	}
	return list
}
