package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/flue-fhir/flue/sinks"
)

// chain checks that what a delta rests on is there: each snapshot before it, and
// the full one at their beginning. A full snapshot rests on nothing.
func (c *checker) chain(ctx context.Context) error {
	m := c.report.Manifest
	if m.Kind != sinks.Delta {
		var problems []string
		if m.Base != "" || m.Previous != "" {
			problems = append(problems, "a full snapshot names one that it rests on")
		}
		c.tell(finish("chain", "a full snapshot, which stands alone", problems))
		return nil
	}
	deltas, fault := 1, ""
	for cur := m; fault == ""; deltas++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var before *sinks.Manifest
		if before, fault = c.before(cur); before == nil {
			break
		}
		if before.Kind == sinks.Full {
			if before.Name != m.Base {
				fault = fmt.Sprintf("leads to %s, and the base is %s", printable(before.Name), printable(m.Base))
			}
			break
		}
		if before.Name == m.Base {
			fault = fmt.Sprintf("begins with the delta %s: its watermark was set by hand, and no full snapshot is under it", printable(before.Name))
			break
		}
		if before.Base != m.Base {
			fault = fmt.Sprintf("%s rests on another base", printable(before.Name))
		}
		cur = before
	}
	f := finish("chain", fmt.Sprintf("%s on the full snapshot %s", plural(int64(deltas), "delta"), printable(m.Base)), some([]string{fault}))
	if fault != "" {
		f.Hint = "a delta holds only what changed: check it where the snapshots that it rests on lie beside it"
	}
	c.tell(f)
	return nil
}

// before reads the manifest of the snapshot before m.
func (c *checker) before(m *sinks.Manifest) (*sinks.Manifest, string) {
	name := m.Previous
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\\\x00") { // F32
		return nil, printable(m.Name) + " names no snapshot before it"
	}
	if name >= m.Name {
		// Names sort by time; so a chain has an end.
		return nil, printable(m.Name) + " names a later one as that before it"
	}
	root, err := os.OpenRoot(filepath.Join(filepath.Dir(c.report.Dir), name))
	if err == nil {
		defer root.Close()
		var before *sinks.Manifest
		if before, err = readManifest(root); err == nil {
			if before.Job != m.Job || before.Name != name {
				return nil, printable(name) + " holds another snapshot"
			}
			return before, ""
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, printable(name) + ", which " + printable(m.Name) + " rests on, is missing"
	}
	return nil, printable(name) + ": " + cause(err).Error()
}
