package config

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// minimal is the smallest file that does something.
const minimal = `version: 1
servers:
  sandbox:
    url: http://127.0.0.1:8080/fhir
    auth:
      type: none
jobs:
  nightly:
    server: sandbox
    export:
      types: [Patient]
    sinks:
      - type: ndjson
    destination:
      path: data
`

func noEnv(string) (string, bool) { return "", false }

func env(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func parse(t *testing.T, text string, env func(string) (string, bool)) *File {
	t.Helper()
	f, err := Parse("jobs.yaml", []byte(text), env)
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	return f
}

func TestParseMinimal(t *testing.T) {
	got := parse(t, minimal, noEnv)
	want := &File{
		Version: 1,
		Servers: map[string]Server{"sandbox": {
			Name: "sandbox", URL: "http://127.0.0.1:8080/fhir",
			Auth: Auth{Type: None, Algorithm: "auto"},
		}},
		Jobs: map[string]Job{"nightly": {
			Name: "nightly", Server: "sandbox",
			Export:      Export{Mode: "bulk", Level: "system", Types: []string{"Patient"}},
			Sinks:       []Sink{{Type: "ndjson", Compression: "gzip"}},
			Destination: Destination{Path: "data"},
			Policies: Policies{
				MissingScope: "fail", AmbiguousKickoff: "repeat", OnExportLost: "restart",
				OnServerErrors: "fail", OnCountMismatch: "fail", FHIRVersions: "R4",
			},
		}},
		Order: []string{"nightly"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

func TestParseEverything(t *testing.T) {
	got := parse(t, `
version: 1
state_dir: /var/lib/flue
spool_dir: /scratch/flue
servers:
  hospital:
    url: https://fhir.example.org/r4/
    auth:
      type: smart
      client_id: ${CLIENT}
      key: file:/etc/flue/key.pem
      key_id: 2026
      algorithm: ES384
      jku: https://keys.example.org/jwks.json
      token_url: https://auth.example.org/token
      scopes: [system/Patient.rs]
      lifetime: 2m
    headers:
      Epic-Client-ID: env:EPIC
    origins: ["https://files.example.org/"]
    tls: {ca: ca.pem, client_cert: c.pem, client_key: k.pem}
    limits: {downloads: 8, poll_min: 500ms, poll_max: 1h, retries: 9}
  lab:
    url: http://lab.internal/fhir
    allow_http: true
    auth: {type: client_secret, client_id: 0042, secret: "env:LAB", post: true}
jobs:
  b-group:
    server: hospital
    schedule: "30 2 * * *"
    timezone: Europe/Berlin
    export:
      group: 0815
      types: [Patient, Observation]
      since: last
      elements: [id, Patient.name]
      type_filters: ["Observation?code=http://loinc.org|8480-6,http://loinc.org|8462-4"]
      patients: [a-1, "2"]
      include_associated_data: [LatestProvenanceResources]
      organize_output_by: Patient
      allow_partial_manifests: true
      output_format: ndjson
      extra: {_mark: yes please}
      post: true
      repeat: true
      lenient: true
    sinks:
      - {type: ndjson, compression: zstd, level: 3, target_size: 64MiB}
      - {type: parquet, compression: snappy, target_size: 1GB, row_group: 32MiB, max_columns: 900, max_depth: 9, unmapped: fail, drift: fail, sort: patient}
    destination: {path: /data, file_mode: 0640, dir_mode: "0750", group: analytics}
    policies:
      full_every: 2w
      overlap: 90s
      resume_within: 1d12h
      max_duration: 6h
      missing_scope: skip
      ambiguous_kickoff: stop
      on_export_lost: fail
      on_server_errors: warn
      on_count_mismatch: warn
      allow_empty: true
      max_line: 1MiB
      max_bad_lines: 10
      memory: 64MiB
      min_free_disk: 1GiB
  a-search:
    server: lab
    export:
      mode: search
      types: [Patient]
      since: 2026-01-31T00:00:00+01:00
      count: ${PAGE:-250}
      include: ["Patient:organization"]
    sinks: [{type: ndjson, compression: none}]
    destination: {path: /data}
    policies: {fhir_versions: any}
`, env("CLIENT", "client-7"))
	hospital := Server{
		Name: "hospital", URL: "https://fhir.example.org/r4",
		Auth: Auth{
			Type: SMART, ClientID: "client-7", Key: "file:/etc/flue/key.pem", KeyID: "2026", Algorithm: "ES384",
			JKU: "https://keys.example.org/jwks.json", TokenURL: "https://auth.example.org/token",
			Scopes: []string{"system/Patient.rs"}, Lifetime: 2 * time.Minute,
		},
		Headers: map[string]string{"Epic-Client-ID": "env:EPIC"},
		Origins: []string{"https://files.example.org"},
		TLS:     TLS{CA: "ca.pem", ClientCert: "c.pem", ClientKey: "k.pem"},
		Limits:  Limits{Downloads: 8, PollMin: 500 * time.Millisecond, PollMax: time.Hour, Retries: 9},
	}
	lab := Server{
		Name: "lab", URL: "http://lab.internal/fhir", AllowHTTP: true,
		Auth: Auth{Type: ClientSecret, ClientID: "0042", Algorithm: "auto", Secret: "env:LAB", Post: true},
	}
	group := Job{
		Name: "b-group", Server: "hospital", Schedule: "30 2 * * *", Timezone: "Europe/Berlin",
		Export: Export{
			Mode: "bulk", Level: "group", Group: "0815", Types: []string{"Patient", "Observation"}, Since: Since{Last: true},
			Elements:    []string{"id", "Patient.name"},
			TypeFilters: []string{"Observation?code=http://loinc.org|8480-6,http://loinc.org|8462-4"},
			Patients:    []string{"a-1", "2"}, IncludeAssociatedData: []string{"LatestProvenanceResources"},
			OrganizeOutputBy: "Patient", AllowPartialManifests: true, OutputFormat: "ndjson",
			Extra: map[string]string{"_mark": "yes please"}, Post: true, Repeat: true, Lenient: true,
		},
		Sinks: []Sink{
			{Type: "ndjson", Compression: "zstd", Level: 3, TargetSize: 64 << 20},
			{Type: "parquet", Compression: "snappy", TargetSize: 1e9, RowGroup: 32 << 20, MaxColumns: 900, MaxDepth: 9, Unmapped: "fail", Drift: "fail", Sort: "patient"},
		},
		Destination: Destination{Path: "/data", FileMode: 0o640, DirMode: 0o750, Group: "analytics"},
		Policies: Policies{
			FullEvery: 14 * 24 * time.Hour, Overlap: 90 * time.Second, ResumeWithin: 36 * time.Hour, MaxDuration: 6 * time.Hour,
			MissingScope: "skip", AmbiguousKickoff: "stop", OnExportLost: "fail", OnServerErrors: "warn", OnCountMismatch: "warn",
			AllowEmpty: true, FHIRVersions: "R4", MaxLine: 1 << 20, MaxBadLines: Allowance{Lines: 10}, Memory: 64 << 20, MinFreeDisk: 1 << 30,
		},
	}
	search := Job{
		Name: "a-search", Server: "lab",
		Export: Export{
			Mode: "search", Types: []string{"Patient"}, Since: Since{Time: time.Date(2026, 1, 30, 23, 0, 0, 0, time.UTC)},
			Count: 250, Include: []string{"Patient:organization"},
		},
		Sinks:       []Sink{{Type: "ndjson", Compression: "none"}},
		Destination: Destination{Path: "/data"},
		Policies: Policies{
			MissingScope: "fail", AmbiguousKickoff: "repeat", OnExportLost: "restart",
			OnServerErrors: "fail", OnCountMismatch: "fail", FHIRVersions: "any",
		},
	}
	want := &File{
		Version: 1, StateDir: "/var/lib/flue", SpoolDir: "/scratch/flue",
		Servers: map[string]Server{"hospital": hospital, "lab": lab},
		Jobs:    map[string]Job{"b-group": group, "a-search": search},
		Order:   []string{"b-group", "a-search"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Parse (-want +got):\n%s", diff)
	}
}

// edit replaces one line of the minimal file; the new text may hold several.
func edit(t *testing.T, old, replacement string) string {
	t.Helper()
	if strings.Count(minimal, old) != 1 {
		t.Fatalf("%q is not once in the minimal file", old)
	}
	return strings.Replace(minimal, old, replacement, 1)
}

func TestParseRefuses(t *testing.T) {
	tests := []struct {
		name, old, with string
		want            string // line:column: path: message
		hint            string
	}{
		{"unknown key", "    server: sandbox", "    sever: sandbox\n    server: sandbox", `9:5: jobs.nightly.sever: unknown key`, "did you mean server?"},
		{"unknown key without likeness", "version: 1", "version: 1\ncolour: red", `2:1: colour: unknown key`, "known here: version, state_dir, spool_dir, servers, jobs"},
		{"duplicated key", "    server: sandbox", "    server: sandbox\n    server: other", `10:5: jobs.nightly.server: key given twice`, "it stands on line 9 already; keep one of the two"},
		{"duplicated job", "jobs:", "jobs:\n  nightly: {}", `9:3: jobs.nightly: key given twice`, "it stands on line 8"},
		{"missing key", "    server: sandbox\n", "", `9:5: jobs.nightly: key server is missing`, "Name of the server under servers."},
		{"wrong type, list", "      types: [Patient]", "      types: Patient", `11:14: jobs.nightly.export.types: is text, want a list`, "[one, another]"},
		{"wrong type, number", "      path: data", "      path: 5", `15:13: jobs.nightly.destination.path: is a number, want path`, "put quotes around it"},
		{"wrong type, text", "version: 1", `version: "1"`, `1:10: version: is text, want a whole number`, "without quotes"},
		{"wrong type, boolean", "      types: [Patient]", "      types: [Patient]\n      lenient: yes", `12:16: jobs.nightly.export.lenient: is text, want true or false`, "write true or false"},
		{"wrong type, mapping", "    export:\n      types: [Patient]", "    export: [x]", `10:13: jobs.nightly.export: is a list, want a mapping`, "indented"},
		{"wrong type, list for a value", "      path: data", "      path: [data]", `15:13: jobs.nightly.destination.path: is a list, want path`, "one value"},
		{"size below the least", "    sinks:", "    policies: {memory: 1KB}\n    sinks:", `12:24: jobs.nightly.policies.memory: is smaller than 64MiB`, "default"},
		{"a JWK as it is", "      type: none", "      type: smart\n      client_id: c\n      key: {\"kty\":\"EC\",\"d\":\"hunter2\"}", `8:12: servers.sandbox.auth.key: is a mapping, want key reference`, "key: |"},
		{"colon in a value", "      path: data", "      path: a: b", `15:13: not YAML: mapping value is not allowed in this context`, "colon"},
		{"variable in a flow mapping", "    destination:\n      path: data", "    destination: {path: ${DATA}}", `14:26: not YAML: `, "${NAME}"},
		{"number as a name", "  nightly:", "  7:", `8:3: jobs: a key that is not plain text`, "quotes"},
		{"no value", "      types: [Patient]", "      types:", `11:7: jobs.nightly.export.types: has no value, want a list`, "remove the key"},
		{"version of the future", "version: 1", "version: 2", `1:10: version: is 2, want 1`, ""},
		{"unknown resource type", "[Patient]", "[Patient, Observatoin]", `11:24: jobs.nightly.export.types[1]: unknown resource type "Observatoin"`, "did you mean Observation?"},
		{"repeated resource type", "[Patient]", "[Patient, Patient]", `11:24: jobs.nightly.export.types[1]: stands in the list already`, "remove one"},
		{"empty list", "[Patient]", "[]", `11:14: jobs.nightly.export.types: is an empty list`, "remove the key"},
		{"bad cron", "    server: sandbox", "    server: sandbox\n    schedule: \"61 2 * * *\"", `10:15: jobs.nightly.schedule: is not a cron expression`, "minute, hour"},
		{"bad zone", "    server: sandbox", "    server: sandbox\n    timezone: Europe/Berln", `10:15: jobs.nightly.timezone: unknown time zone`, "IANA name"},
		{"bad URL", "http://127.0.0.1:8080/fhir", "ftp://example.org", `4:10: servers.sandbox.url: URL is neither https nor http`, "service base URL"},
		{"URL with password", "http://127.0.0.1:8080/fhir", "https://u:hunter2@example.org", `4:10: servers.sandbox.url: URL holds a user name or password`, ""},
		{"URL with query", "http://127.0.0.1:8080/fhir", "https://example.org/r4?x=1", `4:10: servers.sandbox.url: URL has a query or a fragment`, ""},
		{"P10 plain http", "http://127.0.0.1:8080/fhir", "http://fhir.example.org", `4:10: servers.sandbox.url: plain http to a host other than this machine`, "allow_http"},
		{"P10 plain http of an origin", "    auth:", "    origins: [\"https://a.example\", \"http://b.example\"]\n    auth:", `5:36: servers.sandbox.origins[1]: plain http to a host`, "allow_http"},
		{"origin with path", "    auth:", "    origins: [\"https://a.example/x\"]\n    auth:", `5:15: servers.sandbox.origins[0]: origin has a path`, ""},
		{"unknown server", "    server: sandbox", "    server: sandbax", `9:13: jobs.nightly.server: unknown server "sandbax"`, "did you mean sandbox?"},
		{"bad duration", "    sinks:", "    policies: {overlap: 10}\n    sinks:", `12:25: jobs.nightly.policies.overlap: is not a duration`, "36h, 7d"},
		{"duration of nothing", "    sinks:", "    policies: {overlap: 0s}\n    sinks:", `12:25: jobs.nightly.policies.overlap: is shorter than 1s`, "default"},
		{"huge duration", "    sinks:", "    policies: {overlap: 99999999999w}\n    sinks:", `12:25: jobs.nightly.policies.overlap: is too large`, ""},
		{"bad size", "    sinks:", "    policies: {memory: 256 megs}\n    sinks:", `12:24: jobs.nightly.policies.memory: is not a size`, "256MiB"},
		{"bad share", "    sinks:", "    policies: {max_bad_lines: 0.12345%}\n    sinks:", `12:31: jobs.nightly.policies.max_bad_lines: is no share of lines`, "write 10, or 0.1%"},
		{"share over all", "    sinks:", "    policies: {max_bad_lines: 101%}\n    sinks:", `12:31: jobs.nightly.policies.max_bad_lines: is more than 100%`, "write 10, or 0.1%"},
		{"negative bad lines", "    sinks:", "    policies: {max_bad_lines: -1}\n    sinks:", `12:31: jobs.nightly.policies.max_bad_lines: is -1, want 0 to 1099511627776`, "write 10"},
		{"fraction of a bad line", "    sinks:", "    policies: {max_bad_lines: 1.5}\n    sinks:", `12:31: jobs.nightly.policies.max_bad_lines: is neither a whole number nor a share of lines`, "write 10"},
		{"number in quotes", "    sinks:", "    policies: {max_bad_lines: \"10\"}\n    sinks:", `12:31: jobs.nightly.policies.max_bad_lines: is text, want a number of lines`, "without quotes"},
		{"boolean bad lines", "    sinks:", "    policies: {max_bad_lines: true}\n    sinks:", `12:31: jobs.nightly.policies.max_bad_lines: is true or false, want a number of lines`, ""},
		{"bad choice", "    sinks:", "    policies: {missing_scope: skipp}\n    sinks:", `12:31: jobs.nightly.policies.missing_scope: "skipp" is not one of fail, skip`, "did you mean skip?"},
		{"Parquet of any version", "    sinks:\n", "    policies: {fhir_versions: any}\n    sinks:\n      - type: parquet\n", `12:31: jobs.nightly.policies.fhir_versions: any FHIR version together with Parquet`, "R4 definitions"},
		{"two sinks of a type", "      - type: ndjson", "      - type: ndjson\n      - type: ndjson", `14:9: jobs.nightly.sinks: two sinks of type ndjson`, "once"},
		{"parquet key on ndjson", "      - type: ndjson", "      - type: ndjson\n        row_group: 1MiB", `14:9: jobs.nightly.sinks[0].row_group: has no meaning for ndjson`, "remove it"},
		{"compression of the other format", "      - type: ndjson", "      - type: ndjson\n        compression: snappy", `14:22: jobs.nightly.sinks[0].compression: ndjson has no compression snappy`, "gzip, zstd, none"},
		{"level beyond", "      - type: ndjson", "      - type: ndjson\n        level: 10", `14:16: jobs.nightly.sinks[0].level: gzip has the levels 1 to 9`, ""},
		{"bulk key in search", "      types: [Patient]", "      mode: search\n      types: [Patient]\n      level: patient", `13:14: jobs.nightly.export.level: has no meaning with mode search`, "remove it"},
		{"search key in bulk", "      types: [Patient]", "      types: [Patient]\n      count: 10", `12:14: jobs.nightly.export.count: has no meaning with mode bulk`, "remove it"},
		{"search without types", "      types: [Patient]", "      mode: search", `11:7: jobs.nightly.export: mode search needs the key types`, ""},
		{"group level without group", "      types: [Patient]", "      level: group", `11:14: jobs.nightly.export.level: level group needs the key group`, ""},
		{"group at another level", "      types: [Patient]", "      level: system\n      group: g", `12:14: jobs.nightly.export.group: has no meaning with level system`, ""},
		{"patients at system level", "      types: [Patient]", "      patients: [p1]", `11:17: jobs.nightly.export.patients: has no meaning with level system`, "level: patient"},
		{"filter without type", "      types: [Patient]", "      type_filters: [\"status=final\"]", `11:22: jobs.nightly.export.type_filters[0]: is not a filter`, "a question mark"},
		{"filter of another type", "      types: [Patient]", "      types: [Patient]\n      type_filters: [\"Claim?use=claim\"]", `12:22: jobs.nightly.export.type_filters: is for Claim, which is not among types`, "add Claim"},
		{"bad since", "      types: [Patient]", "      since: yesterday", `11:14: jobs.nightly.export.since: is neither last nor an instant`, "write last"},
		{"since without offset", "      types: [Patient]", "      since: 2026-01-31T00:00:00", `11:14: jobs.nightly.export.since: is neither last nor an instant`, "offset"},
		{"until before since", "      types: [Patient]", "      since: 2026-01-31\n      until: 2026-01-30", `12:14: jobs.nightly.export.until: until is not after since`, ""},
		{"parameter with a key", "      types: [Patient]", "      extra: {_since: x}", `11:15: jobs.nightly.export.extra._since: has a key of its own`, "use since"},
		{"unset variable", "      path: data", "      path: ${NOWHERE}/data", `15:13: jobs.nightly.destination.path: environment variable NOWHERE is not set`, "${NOWHERE:-value}"},
		{"open variable", "      path: data", "      path: ${NOWHERE", `15:13: jobs.nightly.destination.path: ${ without its }`, "close it"},
		{"object store", "      path: data", "      path: s3://bucket", `15:13: jobs.nightly.destination.path: s3: is not a local folder`, ""},
		{"newcomers of a system", "      types: [Patient]", "      types: [Patient]\n      newcomers: full", `12:18: jobs.nightly.export.newcomers: has no meaning with level system`, "remove it"},
		{"newcomers without patients", "      types: [Patient]", "      group: g\n      types: [Observation]\n      newcomers: full", `13:18: jobs.nightly.export.newcomers: full needs the type Patient`, "add Patient"},
		{"newcomers among the named", "      types: [Patient]", "      level: patient\n      patients: [a]\n      newcomers: full", `13:18: jobs.nightly.export.newcomers: has no meaning with patients`, "remove it"},
		{"mode of nobody", "      path: data", "      path: data\n      file_mode: \"0040\"", `16:18: jobs.nightly.destination.file_mode: the owner could not read`, ""},
		{"mode in decimal", "      path: data", "      path: data\n      file_mode: 999", `16:18: jobs.nightly.destination.file_mode: is not a file mode`, "octal"},
		{"smart without client", "      type: none", "      type: smart", `6:7: servers.sandbox.auth: type smart needs the key client_id`, ""},
		{"key of another auth", "      type: none", "      type: none\n      client_id: x", `7:7: servers.sandbox.auth.client_id: has no meaning with type none`, "remove it"},
		{"long assertion", "      type: none", "      type: smart\n      client_id: x\n      lifetime: 6m", `8:17: servers.sandbox.auth.lifetime: is longer than 5m0s`, ""},
		{"header of ours", "    auth:", "    headers: {Authorization: x}\n    auth:", `5:15: servers.sandbox.headers.Authorization: is set by auth`, ""},
		{"certificate without key", "    auth:", "    tls: {client_cert: x}\n    auth:", `5:10: servers.sandbox.tls: client_cert and client_key belong together`, ""},
		{"polls crossed", "    auth:", "    limits: {poll_min: 10m, poll_max: 1m}\n    auth:", `5:24: servers.sandbox.limits.poll_min: poll_min is longer than poll_max`, ""},
		{"job name", "  nightly:", "  ../evil:", `8:3: jobs["../evil"]: is no name that can be a folder's`, "lower-case"},
		{"tag", "      path: data", "      path: !!str data", `15:13: jobs.nightly.destination.path: is a tagged value, want path`, ""},
		{"unknown alias", "      path: data", "      path: *data", `15:13: jobs.nightly.destination.path: alias of an anchor that is not there`, "&data"},
		{"second document", "version: 1", "version: 1\n---\nversion: 1", `3:1: a second document`, "one document"},
		{"tabs", "      path: data", "\tpath: data", `15:1: not YAML: a character that cannot stand here`, "spaces"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Parse("jobs.yaml", []byte(edit(t, test.old, test.with)), noEnv)
			var all *Errors
			if !errors.As(err, &all) {
				t.Fatalf("Parse gave %v, want *Errors", err)
			}
			if all.Class() != "usage" {
				t.Errorf("Class is %q", all.Class())
			}
			for _, e := range all.List {
				if strings.HasPrefix(e.Error(), "jobs.yaml:"+test.want) && strings.Contains(e.Hint(), test.hint) {
					if e.Excerpt == "" {
						t.Error("no excerpt")
					}
					if len(all.List) > 1 && test.name != "missing key" {
						t.Logf("further errors: %v", err)
					}
					return
				}
			}
			t.Errorf("got\n%v\nhint %q\nwant jobs.yaml:%s\nhint %q", err, all.List[0].Hint(), test.want, test.hint)
		})
	}
}

func TestParseGivesAllErrorsInOrder(t *testing.T) {
	_, err := Parse("f", []byte(`version: 1
servers:
  a:
    url: nowhere
    auth: {type: bearer}
jobs:
  j:
    server: b
    export: {types: [Pateint], sinse: last}
    sinks: [{type: avro}]
    destination: {}
`), noEnv)
	want := `f:4:10: servers.a.url: URL is neither https nor http
f:5:11: servers.a.auth: type bearer needs the key token
f:8:13: jobs.j.server: unknown server "b"
f:9:22: jobs.j.export.types[0]: unknown resource type "Pateint"
f:9:32: jobs.j.export.sinse: unknown key
f:10:20: jobs.j.sinks[0].type: "avro" is not one of ndjson, parquet
f:11:18: jobs.j.destination: key path is missing`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestParseWholeFiles(t *testing.T) {
	tests := map[string]string{
		"":                             "f: file is empty",
		"# nothing\n":                  "f: file is empty",
		"\xff":                         "f: file is not UTF-8 text",
		strings.Repeat("[", 100):       "f: brackets are nested too deeply",
		strings.Repeat("- ", 100) + "": "f: brackets are nested too deeply",
		strings.Repeat("#\n", 1<<20):   "f: file is longer than 1MiB",
		"just text":                    "f:1:1: is text, want a mapping",
	}
	for text, want := range tests {
		if _, err := Parse("f", []byte(text), noEnv); err == nil || err.Error() != want {
			t.Errorf("Parse(%.20q): got %v, want %s", text, err, want)
		}
	}
}

// What editors and other programs add to a file does not change what it says.
func TestParseForms(t *testing.T) {
	for name, text := range map[string]string{
		"byte order mark": "\ufeff" + minimal,
		"CRLF":            strings.ReplaceAll(minimal, "\n", "\r\n"),
		"marker":          "---\n" + minimal,
		"directive":       "%YAML 1.2\n---\n" + minimal,
		"end marker":      minimal + "...\n",
	} {
		if _, err := Parse("f", []byte(text), noEnv); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestParseAnchorsAndMerges(t *testing.T) {
	f := parse(t, `
version: 1
servers:
  a: {url: "https://a.example", auth: {type: none}}
jobs:
  one: &base
    server: a
    export: {types: &clinical [Patient, Observation]}
    sinks: [{type: ndjson}]
    destination: {path: x}
  two:
    <<: *base
    export: {mode: search, types: *clinical}
`, noEnv)
	two := f.Jobs["two"]
	if two.Name != "two" || two.Export.Mode != "search" || two.Server != "a" || len(two.Export.Types) != 2 || two.Destination.Path != "x" {
		t.Errorf("job two is %+v", two)
	}
	for _, loop := range []string{"a: &a {<<: *a}", "a: &a [*a]", "a: &a {<<: [*a, *a]}"} {
		if _, err := Parse("f", []byte(loop), noEnv); err == nil {
			t.Errorf("%s: no error", loop)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("a: &x\n  <<: *x\nb: *x\n"))
	f.Add([]byte("version: 1\nservers: {a: {url: 'https://x', auth: {type: smart}}}\njobs: {j: {policies: {overlap: 1d}}}"))
	f.Add([]byte("? [a]\n: b\n- c\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := Parse("f", data, env("A", "1"))
		if (file == nil) == (err == nil) {
			t.Fatalf("Parse gave file %v and error %v", file, err)
		}
		if err == nil {
			for name, job := range file.Jobs {
				if _, ok := file.Servers[job.Server]; !ok || job.Name != name || job.Destination.Path == "" || len(job.Sinks) == 0 {
					t.Fatalf("accepted an incomplete job: %+v", job)
				}
			}
			return
		}
		var all *Errors
		if !errors.As(err, &all) || len(all.List) == 0 {
			t.Fatalf("error is %T %v", err, err)
		}
	})
}
