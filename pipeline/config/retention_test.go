package config

import (
	"errors"
	"strings"
	"testing"
)

func TestRetention(t *testing.T) {
	f := parse(t, edit(t, "    sinks:", "    retention: {keep: 7, keep_days: 30}\n    sinks:"), noEnv)
	if got, want := f.Jobs["nightly"].Retention, (Retention{Keep: 7, KeepDays: 30}); got != want {
		t.Errorf("retention is %+v, want %+v", got, want)
	}
	for _, wrong := range []string{"{}", "{keep: 0}", "{keep: -1}", "{keep_days: 0}", "{keep: 7d}", "{keep_weeks: 1}"} {
		_, err := Parse("jobs.yaml", []byte(edit(t, "    sinks:", "    retention: "+wrong+"\n    sinks:")), noEnv)
		var all *Errors
		if !errors.As(err, &all) || !strings.Contains(err.Error(), "retention") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}
