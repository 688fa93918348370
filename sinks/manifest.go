package sinks

import "time"

// Kind says what a snapshot holds.
type Kind string

// The kinds of snapshots.
const (
	Full  Kind = "full"  // everything the request asked for
	Delta Kind = "delta" // what changed since the snapshot before it on the chain
)

// ManifestVersion is the version of the manifest's format that this package
// writes.
const ManifestVersion = 1

// Manifest describes a published snapshot: manifest.json. It is the only place
// where watermarks live (I2), and it says what was asked, granted, ignored,
// refused and missing (I9). It holds no PHI and no secret (I6, I7).
type Manifest struct {
	Version int    `json:"version"`
	Kind    Kind   `json:"kind"`
	Job     string `json:"job"`
	Run     string `json:"run"`
	Name    string `json:"name"` // folder name below snapshots/
	// Base is the name of the full snapshot that a delta rests on, Previous that
	// of the snapshot before it on the chain. Both are empty for a full one, and for
	// a delta since a watermark that was set by hand while there was none: then the
	// deltas after it have it as their base.
	Base     string `json:"base,omitempty"`
	Previous string `json:"previous,omitempty"`
	// BaseStarted is when the full run that a delta rests on began: it says how
	// old the chain is.
	BaseStarted *time.Time `json:"baseStarted,omitempty"`

	Started   time.Time `json:"started"`
	Published time.Time `json:"published"`

	Server  Server  `json:"server"`
	Request Request `json:"request"`
	Scopes  Scopes  `json:"scopes"`
	// Exports are those that a snapshot was made of, in their order, where it took
	// more than one (I9).
	Exports []Export `json:"exports,omitempty"`
	// Members are those of the group, or all patients, where the run listed them.
	Members *Members `json:"members,omitempty"`
	// Times the watermark was computed from (P28, F57).
	TransactionTime *time.Time `json:"transactionTime,omitempty"`
	KickoffDate     *time.Time `json:"kickoffDate,omitempty"` // Date of the 202, or of the first search page
	// Watermarks is per type; a type that did not come whole keeps its earlier
	// watermark or has none (I2).
	Watermarks map[string]time.Time `json:"watermarks"`

	// Sinks names the sinks that the files are of. A delta has only those that the
	// snapshot before it has.
	Sinks []string    `json:"sinks,omitempty"`
	Types []TypeCount `json:"types"`
	Lists []ListCount `json:"lists,omitempty"`
	// Deletions is what is known of deleted resources; nil for a full snapshot of a
	// server that listed none.
	Deletions *Deletions `json:"deletions,omitempty"`
	Files     []File     `json:"files"`
	Warnings  []Warning  `json:"warnings,omitempty"`
	Outcomes  []Outcome  `json:"outcomes,omitempty"`
	// Attachments is what came of the attachments of the resources; nil when the
	// job asks for none. Their contents are the files beside AttachmentIndex, which
	// names them in the place of Files.
	Attachments *Attachments `json:"attachments,omitempty"`
	Stats       Stats        `json:"stats"`
	// Schemas is each sink's column record per type: sink name, then type.
	Schemas map[string]map[string]string `json:"schemas,omitempty"`
	Flue    string                       `json:"flue"` // version of the program
}

// Server is where a snapshot came from.
type Server struct {
	URL         string `json:"url"`
	FHIRVersion string `json:"fhirVersion,omitempty"`
	Software    string `json:"software,omitempty"`
}

// Request is what the job asked for. Fingerprint binds the watermarks to it
// (I2): server, level, group, patients, filters and elements, not the time.
type Request struct {
	Mode                  string            `json:"mode"` // bulk | search | files
	Level                 string            `json:"level,omitempty"`
	Group                 string            `json:"group,omitempty"`
	Types                 []string          `json:"types,omitempty"`
	Since                 *time.Time        `json:"since,omitempty"`
	Elements              []string          `json:"elements,omitempty"`
	TypeFilters           []string          `json:"typeFilters,omitempty"`
	Until                 *time.Time        `json:"until,omitempty"`
	Patients              int               `json:"patients,omitempty"` // how many were named; never which (I7)
	Extra                 map[string]string `json:"extra,omitempty"`    // further parameters
	Lenient               bool              `json:"lenient,omitempty"`
	Post                  bool              `json:"post,omitempty"`
	OutputFormat          string            `json:"outputFormat,omitempty"`
	IncludeAssociatedData []string          `json:"includeAssociatedData,omitempty"`
	OrganizeOutputBy      string            `json:"organizeOutputBy,omitempty"`
	AllowPartialManifests bool              `json:"allowPartialManifests,omitempty"`
	Ignored               []string          `json:"ignored,omitempty"` // parameters that the server said it ignored
	// Unchecked are parameters of which nobody can see in the data whether the
	// server heeded them (P22).
	Unchecked   []string `json:"unchecked,omitempty"`
	Fingerprint string   `json:"fingerprint"`
	// Adopted says that something else asked for the export; Reported is then the
	// request as the server repeats it, without the values of its parameters, ""
	// when it does not.
	Adopted  bool     `json:"adopted,omitempty"`
	Reported string   `json:"reported,omitempty"`
	Inputs   []string `json:"inputs,omitempty"` // files: the files and folders as they were named
}

// Export is one of the exports of a run.
type Export struct {
	// Purpose is members (who is in the group), newcomers (everything of those who
	// joined it), changes or everything.
	Purpose         string     `json:"purpose"`
	Types           []string   `json:"types,omitempty"`
	Elements        []string   `json:"elements,omitempty"`
	Patients        int        `json:"patients,omitempty"` // how many were named; never which (I7)
	Since           *time.Time `json:"since,omitempty"`
	KickoffDate     *time.Time `json:"kickoffDate,omitempty"`
	TransactionTime *time.Time `json:"transactionTime,omitempty"`
	Ignored         []string   `json:"ignored,omitempty"`
}

// Members is the list of those whom a snapshot's run found in the group, and of whom a
// Patient came by then: the next run tells newcomers by it.
type Members struct {
	Path   string `json:"path"` // of the file, one line a member: type and id
	Count  int64  `json:"count"`
	Absent int64  `json:"absent,omitempty"` // in the group, but no Patient of theirs came: newcomers of the next run, not in the file
	Joined int64  `json:"joined"`           // since the snapshot before it on the chain
	Left   int64  `json:"left"`             // the same; what they had stays in the chain until the next full one
}

// Scopes are the OAuth scopes of the run.
type Scopes struct {
	Requested []string `json:"requested,omitempty"`
	Granted   []string `json:"granted,omitempty"`
	Missing   []string `json:"missing,omitempty"` // asked, not granted, gone on without by policy
}

// File is one published file, its path relative to the snapshot's folder.
type File struct {
	Path   string `json:"path"`
	Type   string `json:"type"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// TypeCount is the reconciliation of one type (I3):
// Delivered = Published + Quarantined + Superseded + Outcomes + Headers + Filtered.
type TypeCount struct {
	Type        string `json:"type"`
	Declared    *int64 `json:"declared,omitempty"` // what the server's manifest counted, when it counted every file
	Delivered   int64  `json:"delivered"`
	Published   int64  `json:"published"`
	Quarantined int64  `json:"quarantined,omitempty"`
	Superseded  int64  `json:"superseded,omitempty"`
	Outcomes    int64  `json:"outcomes,omitempty"`
	Headers     int64  `json:"headers,omitempty"`
	Filtered    int64  `json:"filtered,omitempty"`
	Losses      Losses `json:"losses"`
	// Complete says that the type came whole; Reason why not, or why it is
	// empty: "none", or one of those that docs/deltas.md lists.
	Complete bool   `json:"complete"`
	Reason   string `json:"reason,omitempty"`
}

// ListCount is the reconciliation of the files of a server's list that holds no
// resources to publish (I3): Delivered = Bundles + Quarantined + Outcomes + Headers +
// Left.
type ListCount struct {
	List        string `json:"list"` // "error", "deleted", or "member": of a group, before a delta
	Delivered   int64  `json:"delivered"`
	Bundles     int64  `json:"bundles,omitempty"` // lines of deletions
	Quarantined int64  `json:"quarantined,omitempty"`
	Outcomes    int64  `json:"outcomes,omitempty"`
	Headers     int64  `json:"headers,omitempty"`
	Left        int64  `json:"left,omitempty"` // resources that are not published: out of place, or members
}

// Deletions is what a snapshot knows of resources that were deleted at the server
// since the one before it.
type Deletions struct {
	// Known says that the server listed deleted resources. Otherwise nobody knows of
	// deletions until the next full snapshot.
	Known     bool  `json:"known"`
	Published int64 `json:"published"`          // in each format below deleted/
	Revived   int64 `json:"revived,omitempty"`  // delivered too: those are no deletions (F47)
	Rejected  int64 `json:"rejected,omitempty"` // lines that are no deletions, in quarantine (F46)
}

// Losses counts what a format holds otherwise than in its own column.
type Losses struct {
	Unmapped  int64 `json:"unmapped,omitempty"`  // values kept in __unmapped
	Rounded   int64 `json:"rounded,omitempty"`   // decimals rounded in their numeric column, text kept
	Overflow  int64 `json:"overflow,omitempty"`  // decimals too large for their numeric column, text kept
	Contained int64 `json:"contained,omitempty"` // contained resources kept as JSON
}

// Add adds o to l.
func (l *Losses) Add(o Losses) {
	l.Unmapped += o.Unmapped
	l.Rounded += o.Rounded
	l.Overflow += o.Overflow
	l.Contained += o.Contained
}

// Outcome counts OperationOutcome issues of the run by severity and code.
type Outcome struct {
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Count    int64  `json:"count"`
}

// Warning is something that a person should know, without PHI.
type Warning struct {
	Code  string `json:"code"` // stable, kebab-case
	Text  string `json:"text"`
	Count int64  `json:"count,omitempty"`
}

// Stats are the costs of the run.
type Stats struct {
	Tokens     int64   `json:"tokens"`   // access tokens used
	Kickoffs   int64   `json:"kickoffs"` // export requests sent, ambiguous ones included
	Requests   int64   `json:"requests"`
	Retries    int64   `json:"retries"`
	BytesRead  int64   `json:"bytesRead"` // body bytes from the server, as sent
	Seconds    float64 `json:"seconds"`
	Resumed    int64   `json:"resumed"` // how often the run was taken up again
	PeakMemory int64   `json:"-"`
}
