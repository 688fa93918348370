package pipeline

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/ledger"
	"github.com/flue-fhir/flue/sinks"
)

// anyType is the key of the watermark that stands for all types where a job
// names none: it moves only when everything came whole.
const anyType = "*"

// plan is what a run asks for and why. It is kept in the ledger, so that a run
// that is taken up again publishes what it asked for; it holds no PHI.
type plan struct {
	Kind     sinks.Kind `json:"kind"`
	Base     string     `json:"base,omitempty"`
	Previous string     `json:"previous,omitempty"`
	BaseTime time.Time  `json:"baseTime,omitzero"` // when the chain's full run began
	Since    time.Time  `json:"since,omitzero"`    // zero: everything
	Reason   string     `json:"reason"`            // why full, or why a delta: for people

	Request string `json:"request"` // fingerprint of the request (I2)
	Latest  string `json:"latest,omitempty"`
	// Earlier are the watermarks that stay for types that do not come whole.
	Earlier  map[string]time.Time `json:"earlier,omitempty"`
	Override time.Time            `json:"override,omitzero"` // when the override that was heeded was made

	Server      string `json:"server,omitempty"`      // URL of the one that is asked
	Destination string `json:"destination,omitempty"` // path where the staging is

	Types       []string            `json:"types,omitempty"`   // asked for; nil: all
	NotGranted  []string            `json:"missing,omitempty"` // types of the job that may not be read (F4)
	Scopes      sinks.Scopes        `json:"scopes,omitzero"`
	FHIRVersion string              `json:"fhirVersion,omitempty"`
	Software    string              `json:"software,omitempty"`
	Params      map[string][]string `json:"params,omitempty"`  // search parameters to find a type's resources by
	Ignored     []string            `json:"ignored,omitempty"` // what the server said it ignores (F18)
	Warnings    []sinks.Warning     `json:"warnings,omitempty"`
	// Doubts say why types are not known to come whole whatever their bodies say
	// (I2), by type; anyType stands for all of them.
	Doubts map[string]string `json:"doubts,omitempty"`
	// Generation counts the listings of files that were given up: their parts
	// must not be taken for those of a later one.
	Generation int `json:"generation,omitempty"`
	Relists    int `json:"relists,omitempty"`
	// Moved says that the files of the export had other paths when its manifest
	// was fetched again (P35).
	Moved bool `json:"moved,omitempty"`
	// OpenFiles says that the manifest asks for no token (P32), NoBinary that the
	// token does not open the server's attachments (P34).
	OpenFiles bool `json:"openFiles,omitempty"`
	NoBinary  bool `json:"noBinary,omitempty"`

	AdHoc bool `json:"adHoc,omitempty"` // see Options

	// Tracked says that the run lists the members of the group, Leg at which of its
	// exports it is, Past how many are over, Exports what was asked for so far. Joined
	// and Left count the members that came and went since the last snapshot.
	// WholeMembers says that the server does not take _elements for the list.
	Tracked      bool           `json:"tracked,omitempty"`
	Leg          leg            `json:"leg,omitempty"`
	Past         int            `json:"past,omitempty"`
	Exports      []sinks.Export `json:"exports,omitempty"`
	Joined       int64          `json:"joined,omitempty"`
	Left         int64          `json:"left,omitempty"`
	WholeMembers bool           `json:"wholeMembers,omitempty"`

	Detached bool `json:"detached,omitempty"` // the export was left running at the server
	// Adopted says that something else asked for the export. Trusted is a person's
	// word that it was asked for as the job asks, Shown that the server says so, and
	// Reported what it says.
	Adopted  bool   `json:"adopted,omitempty"`
	Trusted  bool   `json:"trusted,omitempty"`
	Shown    bool   `json:"shown,omitempty"`
	Reported string `json:"reported,omitempty"`
	// Running is when the export was last seen to run.
	Running time.Time `json:"running,omitzero"`
}

func (p plan) encode() string {
	data, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("encode plan: %v", err)) // every field can be encoded
	}
	return string(data)
}

func decodePlan(text string) (plan, error) {
	var p plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return plan{}, fmt.Errorf("read plan of the run: %w", err)
	}
	return p, nil
}

// known is all that a decision about the watermark rests on.
type known struct {
	Export    config.Export
	FullEvery time.Duration // 0 means 7 days
	Request   string        // fingerprint
	Types     []string      // asked for, after what was not granted is left out; nil: all
	Sinks     []string      // names, of the job
	Latest    *sinks.Manifest
	Gone      string // a snapshot that Latest rests on and that is not there
	Override  *ledger.Override
	Full      bool // a person wants a full run
	Tracked   bool // the run looks for newcomers
	Now       time.Time
}

// lacking names a sink of the job that the latest snapshot was not made by, "" when
// there is none: its deltas would rest on nothing.
func (k known) lacking() string {
	if k.Latest == nil || k.Latest.Sinks == nil {
		return ""
	}
	for _, name := range k.Sinks {
		if !slices.Contains(k.Latest.Sinks, name) {
			return name
		}
	}
	return ""
}

const defaultFullEvery = 7 * 24 * time.Hour

// decide says what the run is and from when on it asks for changes (I2): the
// oldest watermark of the asked types; a type without one, or with one of
// another request, makes the run full.
func decide(k known) plan {
	p := decideSince(k)
	// A delta without a list to hold the members against goes on without: it was a
	// person's word (see SetWatermark).
	p.Tracked = k.Tracked && (p.Kind == sinks.Full || p.Previous != "" && k.Latest.Members != nil)
	if p.Tracked {
		p.Leg = legMembers
	}
	return p
}

func decideSince(k known) plan {
	p := plan{Kind: sinks.Full, Request: k.Request, Types: k.Types, BaseTime: k.Now}
	if k.Latest != nil {
		p.Latest = k.Latest.Name
	}
	if k.Override != nil {
		p.Override = k.Override.Made
	}
	if !k.Export.Since.Last {
		p.Since = k.Export.Since.Time
		p.Reason = "the job asks for everything"
		if !p.Since.IsZero() {
			p.Reason = "the job asks for everything since a fixed time"
		}
		return p
	}

	same := k.Latest != nil && k.Latest.Request.Fingerprint == k.Request
	switch {
	case k.Full:
		p.Reason = "a full run was asked for"
		return p
	case k.Override != nil && k.Override.Mark.IsZero():
		p.Reason = "the watermark was cleared"
		return p
	case k.Override != nil:
		p.Kind, p.Since = sinks.Delta, k.Override.Mark
		p.Reason = "the watermark was set by hand"
		p.BaseTime = time.Time{}
		if same && k.lacking() == "" && k.Gone == "" {
			p.onChain(k.Latest)
		}
		return p
	case k.Latest == nil:
		p.Reason = "nothing was published yet"
		return p
	case !same:
		p.Reason = "the request is not that of the last snapshot"
		return p
	case k.lacking() != "":
		p.Reason = "the last snapshot has no " + k.lacking()
		return p
	case k.Gone != "":
		p.Reason = "snapshot " + k.Gone + ", which the last one rests on, is gone"
		return p
	case k.Tracked && k.Latest.Members == nil:
		p.Reason = "the last snapshot does not say who the members were"
		return p
	}

	every := k.FullEvery
	if every <= 0 {
		every = defaultFullEvery
	}
	switch age := k.Now.Sub(chainStart(k.Latest)); {
	case age >= every:
		p.Reason = "the chain is as old as full_every allows"
		return p
	case age < 0: // nobody knows how old it is
		p.Reason = "the chain began in the future: a clock was changed"
		return p
	}
	asked := k.Types
	if len(asked) == 0 {
		asked = slices.Sorted(maps.Keys(k.Latest.Watermarks))
		if _, ok := k.Latest.Watermarks[anyType]; !ok {
			asked = append(asked, anyType)
		}
	}
	var oldest time.Time
	for _, typ := range asked {
		mark, ok := k.Latest.Watermarks[typ]
		if !ok {
			p.Reason = typ + " has no watermark"
			if typ == anyType {
				p.Reason = "the last snapshot did not come whole"
			}
			return p
		}
		if oldest.IsZero() || mark.Before(oldest) {
			oldest = mark
		}
	}
	if oldest.After(k.Now) { // what changed before it would never be asked for
		p.Reason = "the watermark lies in the future: a clock was changed"
		return p
	}
	p.Kind, p.Since = sinks.Delta, oldest
	p.Reason = "changes since the last snapshot"
	p.onChain(k.Latest)
	return p
}

// onChain makes the plan a delta behind the snapshot latest.
func (p *plan) onChain(latest *sinks.Manifest) {
	// One without a base begins the chain: a full one, or a delta since a watermark
	// that was set by hand while there was none.
	p.Base, p.Previous = cmp.Or(latest.Base, latest.Name), latest.Name
	p.BaseTime = chainStart(latest)
	p.Earlier = maps.Clone(latest.Watermarks)
}

// chainStart is when the full run began that the snapshot rests on.
func chainStart(m *sinks.Manifest) time.Time {
	if m.Kind == sinks.Delta && m.BaseStarted != nil {
		return *m.BaseStarted
	}
	return m.Started
}

// doubt notes why a type, or with anyType every one, is not known to come whole.
func (p *plan) doubt(typ, why string) {
	if p.Doubts == nil {
		p.Doubts = map[string]string{}
	}
	p.Doubts[typ] = why
}

// incremental reports whether the run asks for changes only, so that nothing is
// a proper answer (F26).
func (p plan) incremental() bool { return !p.Since.IsZero() }

// watermarks computes those of the snapshot: types that came whole get the
// run's mark, the others keep what the chain has for them, or have none (I2). A
// full run keeps nothing: its chain begins with it. doubted says that no type is
// known to have come whole: where the job names none, also one of which nothing came.
func (p plan) watermarks(mark time.Time, counts []sinks.TypeCount, doubted bool) map[string]time.Time {
	marks := map[string]time.Time{}
	maps.Copy(marks, p.Earlier)
	if mark.IsZero() {
		return marks
	}
	whole := !doubted
	for _, c := range counts {
		switch {
		case !c.Complete:
			whole = false
		case len(p.Types) == 0 || slices.Contains(p.Types, c.Type):
			marks[c.Type] = mark
		}
	}
	if len(p.Types) == 0 && whole {
		// A type that had nothing new this time came whole too.
		for typ := range marks {
			marks[typ] = mark
		}
		marks[anyType] = mark
	}
	return marks
}

const defaultOverlap = 10 * time.Minute

// mark is the watermark of a run: the earlier of what the server calls the
// transaction's time and of its clock at the kick-off or the first search page,
// less an overlap (P28, F57); never later than what was asked for, nor, by the local
// clock, than the run began: a server whose clock was ahead and is put right dates
// what changes next before its own watermark. It is zero when the server told
// neither.
func mark(transaction, kickoff, began, until time.Time, overlap time.Duration) time.Time {
	if overlap <= 0 {
		overlap = defaultOverlap
	}
	var m time.Time
	for _, t := range []time.Time{transaction, kickoff} {
		if !t.IsZero() && (m.IsZero() || t.Before(m)) {
			m = t
		}
	}
	if m.IsZero() {
		return m
	}
	if began.Before(m) {
		m = began
	}
	if m = m.Add(-overlap); !until.IsZero() && until.Before(m) {
		m = until
	}
	return m.UTC()
}
