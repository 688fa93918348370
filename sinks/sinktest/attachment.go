package sinktest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/flue-fhir/flue/sinks"
)

// attachments proves that a snapshot has the contents that its attachment index
// names and no others, though the manifest does not list them.
func (s *storeTest) attachments(t *testing.T) {
	content := func(text string) sinks.Attachment {
		sum := sha256.Sum256([]byte(text))
		return sinks.Attachment{Type: "DocumentReference", ID: text, Status: sinks.Fetched, Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}
	}
	manifest := func(st sinks.Staging, rows ...sinks.Attachment) *sinks.Manifest {
		var index []byte
		a := &sinks.Attachments{}
		seen := map[string]bool{}
		for _, row := range rows {
			line, err := json.Marshal(row)
			if err != nil {
				t.Fatal(err)
			}
			index = append(append(index, line...), '\n')
			a.Found++
			if row.Status != sinks.Fetched {
				a.Failed++
				continue
			}
			a.Fetched++
			if !seen[row.SHA256] {
				a.Contents, a.Bytes = a.Contents+1, a.Bytes+row.Size
			}
			seen[row.SHA256] = true
		}
		m := &sinks.Manifest{Kind: sinks.Full, Published: time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC), Attachments: a}
		m.Files = []sinks.File{write(t, st, sinks.AttachmentIndex, string(index))}
		return m
	}
	path := func(a sinks.Attachment) string { return sinks.AttachmentFolder + "/" + a.SHA256 }

	st := s.stage(t, "job", "r1")
	one, two, orphan := content("one"), content("two"), content("of an earlier try")
	for _, a := range []sinks.Attachment{one, orphan} {
		write(t, st, path(a), a.ID)
	}
	write(t, st, sinks.AttachmentFolder+"/strange", "x")
	failed := sinks.Attachment{Type: "DocumentReference", ID: "x", Status: sinks.Failed, Code: "gone"}
	m := manifest(st, one, two, one, failed)
	if _, err := st.Publish(t.Context(), m); !errors.Is(err, sinks.ErrChanged) {
		t.Fatalf("Publish without a content that the index names: %v, want sinks.ErrChanged", err)
	}
	s.wantLatest(t, "job", "")
	write(t, st, path(two), two.ID)
	miscounted := *m.Attachments
	miscounted.Contents++
	bad := *m
	bad.Attachments = &miscounted
	if _, err := st.Publish(t.Context(), &bad); err == nil {
		t.Fatal("Publish with another number of contents than the index names")
	}
	location, err := st.Publish(t.Context(), m)
	if err != nil {
		t.Fatalf("Publish: %v", err)
	}
	for _, a := range []sinks.Attachment{one, two} {
		if got := s.h.Read(t, location, path(a)); string(got) != a.ID {
			t.Errorf("%s holds %q", path(a), got)
		}
	}
	for _, gone := range []string{path(orphan), sinks.AttachmentFolder + "/strange"} {
		if got := s.h.Read(t, location, gone); got != nil {
			t.Errorf("%s, which the index does not name, is published", gone)
		}
	}

	// A content that is not what was committed is not published.
	st = s.stage(t, "job", "r2")
	write(t, st, path(one), "other bytes")
	if _, err := st.Publish(t.Context(), manifest(st, one)); err == nil {
		t.Error("Publish with a content of another size")
	}
	// Without an index no content is published.
	write(t, st, path(one), one.ID)
	location, err = st.Publish(t.Context(), &sinks.Manifest{Kind: sinks.Full, Files: []sinks.File{write(t, st, "ndjson/Patient/a", "x")}})
	if err != nil {
		t.Fatalf("Publish: %v", err)
	}
	if got := s.h.Read(t, location, path(one)); got != nil {
		t.Error("a content without an index is published")
	}
}
