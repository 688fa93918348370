package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/flue-fhir/flue/pipeline"
	"github.com/flue-fhir/flue/sinks"
)

// writeSummary prints what a run did: types, resources, files, bytes, time,
// tokens, and where the snapshot is.
func writeSummary(w io.Writer, s *pipeline.Summary) error {
	var b strings.Builder
	if s.Detached {
		_, err := fmt.Fprintf(w, "%s: the export runs at the server, run %s\nthe next run of the job fetches it; give it the same flags\n", s.Job, s.Run)
		return err
	}
	if s.Manifest == nil {
		fmt.Fprintf(&b, "run %s of %s: %s\n", s.Run, s.Job, stateText(s.State))
		_, err := io.WriteString(w, b.String())
		return err
	}
	m := s.Manifest
	resumed := ""
	if s.Resumed {
		resumed = ", resumed"
	}
	fmt.Fprintf(&b, "%s %s: %s snapshot, run %s%s\n\n", m.Job, stateText(s.State), m.Kind, s.Run, resumed)
	if err := writeTypes(&b, m); err != nil {
		return err
	}
	b.WriteByte('\n')
	writeFacts(&b, m, s.Location)
	if n := int64(len(s.Deleted)); n > 0 {
		fmt.Fprintf(&b, "%-10s %s that retention lets go: %s\n", "deleted", plural(n, "snapshot"), strings.Join(s.Deleted, " "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeTypes prints one line a type, with columns only for what occurs.
func writeTypes(w io.Writer, m *sinks.Manifest) error {
	type column struct {
		name  string
		value func(sinks.TypeCount) int64
	}
	columns := []column{{"resources", func(t sinks.TypeCount) int64 { return t.Published }}}
	for _, c := range []column{
		{"superseded", func(t sinks.TypeCount) int64 { return t.Superseded }},
		{"quarantined", func(t sinks.TypeCount) int64 { return t.Quarantined }},
		{"filtered", func(t sinks.TypeCount) int64 { return t.Filtered }},
	} {
		for _, t := range m.Types {
			if c.value(t) != 0 {
				columns = append(columns, c)
				break
			}
		}
	}
	files, bytes := make(map[string]int64), make(map[string]int64)
	for _, f := range m.Files {
		files[f.Type]++
		bytes[f.Type] += f.Bytes
	}
	last := 3 + len(columns)
	g := &grid{left: map[int]bool{0: true, last: true}}
	head := []string{"type"}
	for _, c := range columns {
		head = append(head, c.name)
	}
	g.add(append(head, "files", "bytes")...)
	sums := make([]int64, len(columns))
	for _, t := range m.Types {
		row := []string{t.Type}
		for i, c := range columns {
			sums[i] += c.value(t)
			row = append(row, number(c.value(t)))
		}
		note := t.Reason
		if note == "" && !t.Complete {
			note = "incomplete"
		}
		g.add(append(row, number(files[t.Type]), size(bytes[t.Type]), note)...)
	}
	total := []string{"total"}
	for _, sum := range sums {
		total = append(total, number(sum))
	}
	var allBytes int64
	for _, f := range m.Files {
		allBytes += f.Bytes
	}
	g.add(append(total, number(int64(len(m.Files))), size(allBytes))...)
	return g.write(w)
}

func writeFacts(b *strings.Builder, m *sinks.Manifest, location string) {
	fact := func(label, text string) { fmt.Fprintf(b, "%-10s %s\n", label, text) }
	took := time.Duration(m.Stats.Seconds * float64(time.Second))
	cost := fmt.Sprintf("%s, %s read", span(took), size(m.Stats.BytesRead))
	if m.Stats.Retries == 1 {
		cost += ", 1 retry"
	} else if m.Stats.Retries > 1 {
		cost += ", " + number(m.Stats.Retries) + " retries"
	}
	fact("time", cost)
	if m.Stats.Tokens > 0 {
		fact("tokens", number(m.Stats.Tokens))
	}
	if m.Members != nil {
		text := number(m.Members.Count)
		if m.Members.Joined+m.Members.Left > 0 {
			text += ", " + number(m.Members.Joined) + " joined, " + number(m.Members.Left) + " left"
		}
		if m.Members.Absent > 0 {
			text += ", " + number(m.Members.Absent) + " without data"
		}
		fact("members", text)
	}
	if len(m.Scopes.Missing) > 0 {
		fact("missing", "not granted: "+strings.Join(m.Scopes.Missing, " "))
	}
	if a := m.Attachments; a != nil {
		fact("attached", attachedText(a))
	}
	writeLosses(fact, m.Types)
	writeQuality(fact, m)
	for _, w := range m.Warnings {
		times := ""
		if w.Count > 1 {
			times = fmt.Sprintf(" (%s times)", number(w.Count))
		}
		fact("warning", w.Text+times)
	}
	fact("snapshot", location)
}

// attachedText says what came of the attachments.
func attachedText(a *sinks.Attachments) string {
	if a.Found == 0 {
		return "no attachment with a URL"
	}
	text := fmt.Sprintf("%s of %s fetched", number(a.Fetched), plural(a.Found, "attachment"))
	if a.Fetched > 0 {
		text += fmt.Sprintf(", %s of %s", plural(a.Contents, "content"), size(a.Bytes))
	}
	if a.Filtered > 0 {
		text += ", " + number(a.Filtered) + " filtered"
	}
	if a.Failed > 0 {
		text += ", " + number(a.Failed) + " failed"
	}
	return text
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
