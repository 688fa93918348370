package archtest

// rule says what the packages that match may import beside the standard
// library. Paths are relative to the module; "x/..." matches x and all below.
type rule struct {
	pkg   string
	may   []string // packages of this module and modules of others, with all below them
	never []never  // must not be reached, not even by way of other packages
}

// never is a forbidden edge and the reason for it.
type never struct {
	path string
	why  string
}

// The reasons that several rules share.
const (
	onlyCLI     = "the process (environment, streams, flags) belongs to cmd/internal/cli, so that everything else can run in a test"
	bothSides   = "a mistake shared by client and server would pass on both sides"
	noTestCode  = "the sandbox ships in the binary"
	blindClient = "a client knows HTTP and the protocol; the tokens come with the http.Client that it is given (I6)"
	oneArrow    = "sinks/parquet is the sole importer of arrow"
	formatFree  = "the pipeline sees formats only through sinks.Sink"
	noNetwork   = "it works on what it is given and never asks a server"
)

const arrow = "github.com/apache/arrow/go/v17"

// table is the import table of docs/ARCHITECTURE.md.
func table() []rule {
	return []rule{
		{
			pkg: "cmd/flue",
			may: []string{"cmd/internal/cli"},
		},
		{
			pkg: "cmd/internal/cli",
			may: []string{"export/...", "internal/...", "pipeline/...", "sinks/...", "smart/...", "github.com/spf13/cobra", "golang.org/x/term"},
		},
		{
			pkg:   "smart",
			may:   []string{"github.com/golang-jwt/jwt/v5", "github.com/go-jose/go-jose/v4"},
			never: []never{{".", "other programs import it for its own sake"}, {"flag", onlyCLI}, {"testing", noTestCode}},
		},
		{
			pkg:   "smart/authserver",
			may:   []string{"github.com/golang-jwt/jwt/v5", "github.com/go-jose/go-jose/v4"},
			never: []never{{"smart", bothSides}, {"testing", noTestCode}, {"flag", onlyCLI}},
		},
		{
			pkg:   "export",
			may:   []string{"export/internal/fhirhttp", "github.com/go-json-experiment/json", "github.com/samply/golang-fhir-models"},
			never: []never{{"smart/...", blindClient}, {"sinks/...", blindClient}, {"pipeline/...", blindClient}, {"os/exec", noNetwork}, {"flag", onlyCLI}},
		},
		{
			pkg:   "export/search",
			may:   []string{"export/internal/fhirhttp", "internal/definition", "github.com/go-json-experiment/json"},
			never: []never{{"smart/...", blindClient}, {"sinks/...", blindClient}, {"pipeline/...", blindClient}, {"flag", onlyCLI}},
		},
		{
			pkg:   "export/internal/fhirhttp",
			may:   []string{"github.com/hashicorp/go-retryablehttp", "github.com/go-json-experiment/json"},
			never: []never{{".", "it is below every other package"}},
		},
		{
			pkg:   "export/sandbox/...",
			may:   []string{"export/sandbox/...", "smart/authserver", "internal/definition", "github.com/samply/golang-fhir-models", "github.com/klauspost/compress", "golang.org/x/sync"},
			never: []never{{"smart", bothSides}, {"export", bothSides}, {"export/search", bothSides}, {"testing", noTestCode}, {"flag", onlyCLI}},
		},
		{
			pkg:   "internal/definition",
			never: []never{{".", "everything rests on it"}, {arrow, oneArrow}, {"net/http", noNetwork}},
		},
		{
			pkg: "internal/definition/generate",
			may: []string{"internal/definition"},
		},
		{
			pkg:   "internal/fhirjson",
			may:   []string{"internal/definition"},
			never: []never{{arrow, oneArrow}, {"net/http", noNetwork}},
		},
		{
			pkg:   "internal/durable",
			may:   []string{"golang.org/x/sys"},
			never: []never{{".", "it is below every other package"}},
		},
		{
			pkg: "internal/archtest",
		},
		{
			pkg:   "internal/chaos", // drives the binary from outside; not part of the program
			may:   []string{"export/sandbox/...", "smart/authserver", "pipeline/ledger", "sinks", "sinks/parquet/rebuild", "github.com/klauspost/compress", "golang.org/x/sync", "golang.org/x/sys"},
			never: []never{{"export", bothSides}, {"export/search", bothSides}, {"smart", bothSides}, {"pipeline", bothSides}},
		},
		{
			pkg: "internal/bench/...", // measures the others; not part of the program
			may: []string{"export/...", "internal/...", "pipeline/...", "sinks/...", "smart/...", "github.com/klauspost/compress", "golang.org/x/sync", "golang.org/x/sys"},
		},
		{
			pkg:   "sinks",
			may:   []string{"internal/fhirjson"},
			never: []never{{arrow, oneArrow}, {"net/http", "formats and clients stay out of the contract"}},
		},
		{
			pkg:   "sinks/ndjson",
			may:   []string{"sinks", "internal/...", "github.com/klauspost/compress", "github.com/klauspost/pgzip"},
			never: []never{{arrow, oneArrow}, {"export/...", noNetwork}, {"pipeline/...", noNetwork}, {"net/http", noNetwork}},
		},
		{
			pkg:   "sinks/parquet/...",
			may:   []string{"sinks", "sinks/parquet/...", "internal/...", arrow, "github.com/klauspost/compress", "golang.org/x/sync"},
			never: []never{{"export/...", noNetwork}, {"pipeline/...", noNetwork}, {arrow + "/parquet/pqarrow", "it pulls gRPC into the binary"}},
		},
		{
			pkg:   "sinks/verify",
			may:   []string{"sinks", "sinks/parquet/...", "internal/definition", "internal/fhirjson", "github.com/klauspost/compress", "golang.org/x/sync"},
			never: []never{{"export/...", noNetwork}, {"pipeline/...", noNetwork}, {"sinks/ndjson", "what it wrote is read by other code"}, {"sinks/store/...", "a copy of a snapshot can be checked anywhere"}},
		},
		{
			pkg:   "sinks/store/...",
			may:   []string{"sinks", "internal/durable", "golang.org/x/sys"},
			never: []never{{arrow, oneArrow}, {"sinks/ndjson", "a store keeps files of any format"}, {"sinks/parquet/...", "a store keeps files of any format"}},
		},
		{
			pkg:   "sinks/sinktest",
			may:   []string{"sinks", "internal/fhirjson"},
			never: []never{{"sinks/ndjson", "the suite knows the contract alone"}, {"sinks/parquet/...", "the suite knows the contract alone"}},
		},
		{
			pkg: "pipeline",
			may: []string{"export", "export/search", "sinks", "pipeline/...", "internal/...", "golang.org/x/sync"},
			never: []never{
				{"smart", "authentication comes through the Authorizer and the http.Client"},
				{"sinks/ndjson", formatFree},
				{"sinks/parquet/...", formatFree},
				{"sinks/store/...", formatFree},
				{arrow, oneArrow},
				{"flag", onlyCLI},
			},
		},
		{
			pkg:   "pipeline/attachment",
			may:   []string{"export", "sinks", "pipeline/spool", "github.com/klauspost/compress", "golang.org/x/sync"},
			never: []never{{"smart", "the token comes with the http.Client"}, {arrow, oneArrow}},
		},
		{
			pkg:   "pipeline/spool",
			may:   []string{"internal/...", "github.com/klauspost/compress", "github.com/dustin/go-humanize", "golang.org/x/sys"},
			never: []never{{"export/...", "bodies come as readers"}, {"sinks/...", "a part has the shape of sinks.Part without knowing it"}, {arrow, oneArrow}, {"net/http", noNetwork}},
		},
		{
			pkg:   "pipeline/config",
			may:   []string{"internal/definition", "pipeline/schedule", "github.com/goccy/go-yaml"},
			never: []never{{"net/http", noNetwork}, {"export/...", noNetwork}, {"sinks/...", noNetwork}},
		},
		{
			pkg:   "pipeline/ledger",
			may:   []string{"internal/durable", "modernc.org/sqlite", "github.com/pressly/goose/v3", "golang.org/x/sys"},
			never: []never{{"export/...", "its keys are opaque strings"}, {"sinks/...", "its outputs are opaque strings"}},
		},
		{
			pkg:   "pipeline/schedule",
			may:   []string{"github.com/netresearch/go-cron"},
			never: []never{{".", "it is a pure function of an expression and an instant"}},
		},
	}
}

// forbidden are direct imports that no package makes, but those named.
func forbidden() []ban {
	return []ban{
		{path: "flag", but: []string{"internal/definition/generate", "internal/bench/...", "internal/chaos"}, why: onlyCLI},
		{path: "os/signal", but: []string{"cmd/internal/cli", "internal/chaos"}, why: onlyCLI},
		{path: "testing", but: []string{"sinks/sinktest"}, why: "test code does not ship"},
		{path: arrow, but: []string{"sinks/parquet/..."}, why: oneArrow},
		{path: "github.com/spf13/cobra", but: []string{"cmd/internal/cli"}, why: onlyCLI},
		{path: "log", but: []string{"internal/bench/...", "internal/chaos"}, why: "log lines go through the *slog.Logger that a package is given"},
		{path: "encoding/gob", why: "what is written to disk has a form that other programs can read"},
	}
}

type ban struct {
	path string
	but  []string
	why  string
}
