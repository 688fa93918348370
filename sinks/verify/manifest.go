package verify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/flue-fhir/flue/sinks"
)

// mostManifest bounds the bytes of a manifest: some 500,000 files.
const mostManifest = 256 << 20

// manifest checks that there is a manifest of a version that is known and that
// it is sound in itself. Without one that can be read nothing else is checked.
func (c *checker) manifest(dir string) error {
	m, err := readManifest(c.root)
	if no := notSnapshot(dir, err); no != nil {
		return no
	}
	if err != nil {
		c.tell(Finding{
			Check: "manifest", Status: Failed, Text: "cannot be read", Problems: []string{err.Error()},
			Hint: "without its manifest nothing of a snapshot can be checked; take it from a copy",
		})
		return nil
	}
	c.report.Manifest = m
	var problems []string
	fault := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	switch {
	case m.Version < 1:
		fault("it has no version")
	case m.Kind != sinks.Full && m.Kind != sinks.Delta:
		fault("its kind is neither full nor delta")
	}
	if m.Job == "" || m.Run == "" || m.Name == "" {
		fault("job, run or name is missing")
	}
	paths := map[string]bool{}
	for _, f := range m.Files {
		switch {
		case !fs.ValidPath(f.Path) || f.Path == "." || f.Path == manifestName: // F32
			fault("%s is no path of a file", printable(f.Path))
			continue
		case paths[f.Path]:
			fault("%s is listed twice", printable(f.Path))
			continue
		case f.Bytes < 0 || f.Rows < 0:
			fault("%s has a negative size", printable(f.Path))
		}
		paths[f.Path] = true
		c.seen = append(c.seen, &seen{File: f})
	}
	c.tell(finish("manifest", fmt.Sprintf("%s, %s snapshot %s, version %d", m.Job, m.Kind, m.Name, m.Version), problems))
	return nil
}

// notSnapshot is the error for a folder that is none, judged by what reading its
// manifest gave; nil otherwise.
func notSnapshot(dir string, err error) error {
	var newer *versionError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &NotSnapshotError{Dir: dir, Err: errors.New("it has no " + manifestName)}
	case errors.As(err, &newer):
		return &NotSnapshotError{Dir: dir, Err: err, hint: "a newer flue wrote it: use that one"}
	}
	return nil
}

// versionError is a manifest of a version that this program does not know.
type versionError struct{ version int }

func (e *versionError) Error() string {
	return fmt.Sprintf("its manifest has version %d, this program knows up to %d", e.version, sinks.ManifestVersion)
}

// readManifest reads the manifest of a snapshot.
func readManifest(root *os.Root) (*sinks.Manifest, error) {
	f, err := root.Open(manifestName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, mostManifest))
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	var head struct{ Version int }
	if err := json.Unmarshal(text, &head); err == nil && head.Version > sinks.ManifestVersion {
		return nil, &versionError{head.Version}
	}
	m := new(sinks.Manifest)
	if err := json.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return m, nil
}
