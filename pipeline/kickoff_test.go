package pipeline

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// F16: the intent is durable first, the doubtful kick-off is counted, and the
// policy decides.
func TestF16AmbiguousKickoff(t *testing.T) {
	t.Run("repeat", func(t *testing.T) {
		s := newExportServer(t)
		s.population(1, 2, "Patient", "Observation")
		s.drop = 1
		w := newWorld(t, s)
		m := w.run(t, Options{}).Manifest
		w.publishedAll(t, s)
		if m.Stats.Kickoffs != 2 || !warned(m, "kickoff-ambiguous") {
			t.Errorf("%d kick-offs, warnings %v; want 2 and a warning", m.Stats.Kickoffs, m.Warnings)
		}
	})
	t.Run("stop", func(t *testing.T) {
		s := newExportServer(t)
		s.drop = 1
		w := newWorld(t, s)
		w.Job.Policies.AmbiguousKickoff = "stop"
		err := w.fails(t, Options{})
		if classOf(err) != classServer || hintOf(err) == "" || s.kickoffs != 1 {
			t.Errorf("%v of class %q with %d kick-offs", err, classOf(err), s.kickoffs)
		}
	})
}

// F16: what the server explains is asked once more and then told in its words; what
// it does not, or what passes, as often as a lost answer.
func TestF16KickoffAnswered500(t *testing.T) {
	t.Parallel()
	outcome := func(code string) string {
		return fmt.Sprintf(`{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":%q,"diagnostics":"_typeFilter is not supported"}]}`, code)
	}
	for name, tc := range map[string]struct {
		words, class, says string
		asked              int
	}{
		"explained": {outcome("not-supported"), classServer, "not-supported", 2},
		"passes":    {outcome("timeout"), "", "answer unclear: 500", maxAmbiguous + 1},
		"no words":  {"", "", "answer unclear: 500", maxAmbiguous + 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // they wait
			s := newExportServer(t)
			s.refuse, s.words = slices.Repeat([]int{http.StatusInternalServerError}, 9), tc.words
			err := newWorld(t, s).fails(t, Options{})
			if len(s.asked) != tc.asked || classOf(err) != tc.class || !strings.Contains(err.Error(), tc.says) || hintOf(err) == "" {
				t.Errorf("%d kick-offs, %v of class %q", len(s.asked), err, classOf(err))
			}
		})
	}
}
