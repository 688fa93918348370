package verify

import "fmt"

// Status is how a check came out.
type Status string

// The ways a check comes out.
const (
	OK      Status = "ok"
	Failed  Status = "failed"
	Skipped Status = "skipped" // what it needs is not in the snapshot
)

// Finding is the result of one check. It holds no content of a resource.
type Finding struct {
	Check    string   `json:"check"`
	Status   Status   `json:"status"`
	Text     string   `json:"text"`
	Problems []string `json:"problems,omitempty"` // one for each thing that differs
	Hint     string   `json:"hint,omitempty"`
	// Resources is the comparison of Parquet with NDJSON, per type.
	Resources []Comparison `json:"resources,omitempty"`
}

// Comparison is how the rows of a type differ from its lines, as sets: their
// order plays no part.
type Comparison struct {
	Type    string `json:"type"`
	Lines   int64  `json:"lines"`
	Rows    int64  `json:"rows"`
	Missing int64  `json:"missing"` // lines without a row
	Extra   int64  `json:"extra"`   // rows without a line
	Changed int64  `json:"changed"` // lines whose row has the same id and another content
}

// Same reports whether nothing differs.
func (c *Comparison) Same() bool { return c.Missing+c.Extra+c.Changed == 0 }

// finish makes a finding of the problems, or of the text when there are none.
func finish(check, text string, problems []string) Finding {
	f := Finding{Check: check, Status: OK, Text: text, Problems: problems}
	if len(problems) > 0 {
		f.Status, f.Text = Failed, plural(int64(len(problems)), "difference")
	}
	return f
}

func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
