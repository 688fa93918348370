package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

// authorize gets the first token, reads what the server says of itself and, as
// long as nothing was asked for yet, decides what to ask.
func (x *execution) authorize(ctx context.Context) error {
	grant, err := x.r.grant(ctx)
	if err != nil {
		return err
	}
	missing, err := x.r.missing(grant)
	if err != nil {
		return err
	}
	started := x.run.StatusURL != "" || x.run.Listed || !x.run.KickoffIntent.IsZero() || x.plan.Past > 0
	var capability *export.Capability
	if !started || x.plan.FHIRVersion == "" {
		// A run that is taken up again knows: its export is not given up because the
		// server cannot tell what it is just now.
		if capability, err = x.describe(ctx); err != nil {
			return err
		}
	}
	if !started {
		asked := slices.DeleteFunc(slices.Clone(x.r.Job.Export.Types), func(t string) bool { return slices.Contains(missing, t) })
		generation := x.plan.Generation // parts of earlier ones may still lie there
		x.plan = x.r.decide(x.ground, x.o, asked, x.r.now())
		x.plan.Generation = generation
		if x.plan.Kind == sinks.Delta && x.r.grouped() && !x.plan.Tracked && x.r.Job.Export.Newcomers != "ignore" {
			x.keep(sinks.Warning{Code: "newcomers-unknown", Count: 1, Text: "nobody knows who joined since the last snapshot: older data of theirs is missing until the next full run"})
		}
		x.plan.NotGranted = missing
		if x.r.Job.Export.Mode == "search" {
			x.plan.Params = searchParams(capability, asked)
		}
	} else {
		x.narrowed(missing)
	}
	x.untold(grant.Missing)
	x.plan.NoBinary = grant.NoBinary
	x.plan.Scopes = sinks.Scopes{Requested: grant.Requested, Granted: grant.Granted, Missing: grant.Missing}
	if capability != nil {
		x.plan.FHIRVersion, x.plan.Software = capability.FHIRVersion, capability.Software
	}
	for _, t := range x.plan.NotGranted {
		x.warn("type-not-granted", t+" may not be read: the job goes on without it", 1)
	}
	if len(x.r.Job.Export.Types) > 0 && len(x.plan.Types) == 0 {
		return &Failure{Text: "none of the job's types may be read", Advice: "ask for their scopes at the authorization server", Kind: classAuth}
	}
	err = x.enter(ctx, Authorized, func(r *ledger.Run) { r.Kind = string(x.plan.Kind) })
	x.obs.count(func(p *Progress) { p.Tokens = x.tokensUsed() })
	return err
}

// narrowed doubts the types that were granted when the run began and are no more.
// The export was asked for with more: what cannot be read fails there, or is left out
// without a word.
func (x *execution) narrowed(missing []string) {
	fewer := without(missing, x.plan.NotGranted)
	if len(fewer) == 0 {
		return
	}
	x.keep(sinks.Warning{Code: "scope-narrowed", Text: "fewer scopes are granted than when the run began: " + strings.Join(fewer, ", "), Count: 1})
	for _, typ := range fewer {
		x.plan.doubt(typ, notGranted)
	}
}

// untold doubts every type where scopes are missing and the job names no types.
func (x *execution) untold(scopes []string) {
	if len(scopes) == 0 || len(x.r.Job.Export.Types) > 0 {
		return
	}
	x.keep(sinks.Warning{Code: "scope-missing", Text: "not all types may be read, and the job names none: the next run asks for everything again; a job that names its types asks for changes", Count: 1})
	x.plan.doubt(anyType, "scope missing")
}

// renewed heeds what tokens that were renewed in the midst of the run did not grant
// any more. The doubt is durable before the run fails for it.
func (x *execution) renewed(ctx context.Context) error {
	a, ok := x.r.Auth.(Renewer)
	if !ok {
		return nil
	}
	scopes, types := a.Lost()
	x.narrowed(slices.Compact(sorted(types)))
	x.untold(scopes)
	if x.r.Job.Export.Mode == "search" {
		x.doubtList(x.searchRequest())
	}
	if err := x.update(ctx, func(*ledger.Run) {}); err != nil {
		return err
	}
	_, err := x.r.missing(Grant{Missing: scopes, Types: types})
	return err
}

// grant asks for a first token; without authentication it is empty.
func (r *Runner) grant(ctx context.Context) (Grant, error) {
	if r.Auth == nil {
		return Grant{}, nil
	}
	g, err := r.Auth.Authorize(ctx)
	if err != nil {
		return Grant{}, fmt.Errorf("authorize: %w", err)
	}
	return g, nil
}

// missing returns the job's types that may not be read, sorted, where the job
// goes on without them, and otherwise fails (F4).
func (r *Runner) missing(g Grant) ([]string, error) {
	if len(g.Missing) == 0 && len(g.Types) == 0 {
		return nil, nil
	}
	if r.Job.Policies.MissingScope == "skip" {
		return slices.Compact(sorted(g.Types)), nil
	}
	what := strings.Join(g.Missing, " ")
	if what == "" {
		what = "for " + strings.Join(g.Types, ", ")
	}
	return nil, &Failure{
		Text:   "scopes were not granted: " + what,
		Advice: "have them granted to this client at the server, or set policies.missing_scope: skip to go on without these types",
		Kind:   classAuth,
	}
}

// describe reads what the server says of itself; nil when it says nothing and
// the job does not need it to.
func (x *execution) describe(ctx context.Context) (*export.Capability, error) {
	if x.r.Job.Export.Mode == modeFiles {
		return nil, nil // no server to ask
	}
	c, err := x.r.capability(ctx, x.bulk)
	if err == nil && c == nil {
		x.warn("no-capability", "the server's CapabilityStatement could not be read", 1)
	}
	return c, err
}

// capability checks that the sinks can hold the server's FHIR version: columns
// are laid out by the definitions of R4. Where any version will do, a server that
// does not tell gives nil.
func (r *Runner) capability(ctx context.Context, client *export.Client) (*export.Capability, error) {
	strict := r.Job.Policies.FHIRVersions != "any" || slices.ContainsFunc(r.Sinks, func(s sinks.Sink) bool { return s.Name() == "parquet" })
	if client == nil {
		if strict {
			return nil, &Failure{Text: "read FHIR version: no client for the CapabilityStatement", Kind: classUsage}
		}
		return nil, nil
	}
	c, err := client.Capability(ctx)
	if err != nil {
		if strict || ctx.Err() != nil {
			return nil, fmt.Errorf("read FHIR version: %w", err)
		}
		return nil, nil
	}
	if strict && c.FHIRVersion != "4.0" && !strings.HasPrefix(c.FHIRVersion, "4.0.") {
		return nil, &Failure{
			Text:   "the server's FHIR version is " + cmp.Or(c.FHIRVersion, "not told") + ", the job needs R4 (4.0.x)",
			Advice: "publish NDJSON only and set policies.fhir_versions: any",
			Kind:   classUsage,
		}
	}
	return c, nil
}

// without returns the strings of list that are not in other.
func without(list, other []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return slices.Contains(other, s) })
}
