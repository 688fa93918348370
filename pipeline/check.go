package pipeline

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Finding is the result of one check.
type Finding struct {
	Name string // authorization, server, destination, spool, plan
	Text string // what was found, for people
	Err  error  // may have a Hint
}

// Check looks at everything that a run needs, without asking for data: token
// and scopes, the server's FHIR version, the destination, the spool, and what
// the next run would ask for. each is called as a check ends. Without Auth no token is asked
// for, and without Bulk the server is left alone.
func (r *Runner) Check(ctx context.Context, each func(Finding)) {
	var missing []string
	if r.Auth != nil {
		g, err := r.grant(ctx)
		text := ""
		if err == nil {
			if missing, err = r.missing(g); err == nil {
				text = fmt.Sprintf("token granted, %d scopes", len(g.Requested)-len(g.Missing))
				if len(missing) > 0 {
					text += ", goes on without " + strings.Join(missing, ", ")
				}
			}
		}
		each(Finding{"authorization", text, err})
	}

	if r.Bulk != nil {
		c, err := r.capability(ctx, r.Bulk)
		text := "no CapabilityStatement, which the job does not need"
		if c != nil {
			text = strings.TrimSpace("FHIR " + c.FHIRVersion + " " + c.Software)
			if r.Job.Export.Mode != "search" && !c.SystemExport && !c.PatientExport && !c.GroupExport {
				text += ", does not declare $export (many servers that have it do not)"
			}
		}
		each(Finding{"server", text, err})
	}

	err := r.Store.Check(ctx, r.Job.Name)
	each(Finding{"destination", "can be written", err})
	err = r.Spool.Check(ctx)
	each(Finding{"spool", "can be written and has room", err})

	g, err := r.ground(ctx)
	if err != nil {
		each(Finding{"plan", "", err})
		return
	}
	types := slices.DeleteFunc(slices.Clone(r.Job.Export.Types), func(t string) bool { return slices.Contains(missing, t) })
	each(Finding{"plan", r.decide(g, Options{}, types, r.now()).describe(), nil})
}
