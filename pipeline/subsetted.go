package pipeline

// warnSubsetted tells of resources that came with a part of their elements though
// all were asked for: within a run a whole one wins over them (F48), but a snapshot
// of an earlier run may hold more.
func (x *execution) warnSubsetted(deliveries []delivery) {
	if e := x.r.Job.Export; e.Mode == modeFiles || len(e.Elements) > 0 {
		return
	}
	for _, d := range deliveries {
		if !data(d.task.Kind) {
			continue // of a list of members the ids were asked for
		}
		for _, t := range d.info.Types {
			if t.Subsetted > 0 {
				x.warn("subsetted", t.Type+" came marked SUBSETTED, with a part of their elements, which the job did not ask for", t.Subsetted)
			}
		}
	}
}
