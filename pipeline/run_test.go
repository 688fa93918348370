package pipeline

import (
	"testing"
	"time"

	"github.com/flue-fhir/flue/sinks"
)

func TestRunPublishesAFullSnapshot(t *testing.T) {
	s := newExportServer(t)
	s.population(3, 20, "Patient", "Observation")
	s.polls = 2
	w := newWorld(t, s)
	sum := w.run(t, Options{})
	w.publishedAll(t, s)
	w.clean(t)
	m := sum.Manifest
	if m.Kind != sinks.Full || m.Base != "" {
		t.Errorf("kind %s on %q, want a full snapshot", m.Kind, m.Base)
	}
	if s.kickoffs != 1 || s.deletes != 1 {
		t.Errorf("%d kick-offs, %d deletes; want 1, 1", s.kickoffs, s.deletes)
	}
	want := s.tx.Add(-10 * time.Minute)
	for _, typ := range []string{"Patient", "Observation"} {
		if got := m.Watermarks[typ]; !got.Equal(want) {
			t.Errorf("watermark of %s = %s, want %s", typ, got, want)
		}
	}
	for _, c := range m.Types {
		if c.Delivered != 60 || c.Published != 60 || c.Declared == nil || *c.Declared != 60 || !c.Complete {
			t.Errorf("count %+v", c)
		}
	}
	if len(s.stray) > 0 {
		t.Errorf("stray requests: %v", s.stray)
	}
}
