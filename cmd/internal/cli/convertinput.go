package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/flue-fhir/flue/pipeline"
	"github.com/flue-fhir/flue/pipeline/spool"
)

// found are the inputs of a conversion, in the order in which they were named;
// those of a folder by name.
type found struct {
	inputs  []pipeline.Input
	streams bool // one of them can be read only once

	out   string          // not an input, although it may lie in a folder that is
	seen  map[string]bool // real paths
	pipes []*pipeFile
}

// close closes the pipes; files are closed by who opens them.
func (s *found) close() {
	for _, p := range s.pipes {
		p.close()
	}
}

// pipeFile is opened when it is first read: that waits for somebody to write.
type pipeFile struct {
	path string
	file *os.File
}

// Read implements io.Reader.
func (p *pipeFile) Read(b []byte) (int, error) {
	if p.file == nil {
		f, err := os.Open(p.path)
		if err != nil {
			return 0, err
		}
		p.file = f
	}
	return p.file.Read(b)
}

func (p *pipeFile) close() {
	if p.file != nil {
		_ = p.file.Close()
		p.file = nil
	}
}

// findInputs looks for the files to convert. Each is taken once, by whatever
// paths it is reached, and is seen to be readable.
func (a *app) findInputs(paths []string, out string) (*found, error) {
	s := &found{seen: map[string]bool{}, out: out}
	if real, err := filepath.EvalSymlinks(out); err == nil {
		s.out = real
	}
	for _, path := range paths {
		if err := s.take(a, path); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// take adds what a person named.
func (s *found) take(a *app, path string) error {
	if path == "-" {
		if s.seen[path] {
			return &usageError{message: "- is named twice", hint: "the standard input can be read once"}
		}
		s.seen[path] = true
		s.streams = true
		s.inputs = append(s.inputs, pipeline.Input{Name: "standard input", Stream: &unpacked{name: "standard input", under: a.sys.Stdin}})
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return unreadable(path, err)
	}
	if !info.IsDir() {
		return s.file(path)
	}
	before, ignored := len(s.inputs), 0
	if err := s.folder(path, &ignored); err != nil {
		return err
	}
	if len(s.inputs) == before {
		text := "there is no NDJSON file in " + path
		if ignored > 0 {
			text += fmt.Sprintf(", of %s", plural(int64(ignored), "file"))
		}
		return &usageError{message: text, hint: "the names of files in a folder must end in .ndjson or .jsonl, and .gz, .zst or .bz2 behind it; name others themselves"}
	}
	return nil
}

// folder adds the NDJSON files below a folder. Symbolic links are followed, and
// hidden names left out.
func (s *found) folder(path string, ignored *int) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return unreadable(path, err)
	}
	if abs, err := filepath.Abs(real); err == nil {
		real = abs
	}
	if s.seen[real] || real == s.out {
		return nil
	}
	s.seen[real] = true
	entries, err := os.ReadDir(path)
	if err != nil {
		return unreadable(path, err)
	}
	for _, e := range entries {
		full := filepath.Join(path, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		info, err := os.Stat(full)
		if err != nil {
			return unreadable(full, err)
		}
		switch {
		case info.IsDir():
			err = s.folder(full, ignored)
		case isNDJSON(e.Name()):
			err = s.file(full)
		default:
			*ignored++
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isNDJSON tells a file in a folder by its name.
func isNDJSON(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains([]string{".ndjson", ".jsonl"}, filepath.Ext(cutPacked(name)))
}

// file adds one file, of whatever name.
func (s *found) file(path string) error {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return unreadable(path, err)
	}
	if real, err = filepath.Abs(real); err != nil {
		return unreadable(path, err)
	}
	if s.seen[real] {
		return nil
	}
	s.seen[real] = true
	info, err := os.Stat(path)
	if err != nil {
		return unreadable(path, err)
	}
	if !info.Mode().IsRegular() {
		// A pipe, such as that of a shell's <(command).
		s.stream(path)
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return unreadable(path, err)
	}
	if info, err = f.Stat(); err != nil {
		return errors.Join(unreadable(path, err), f.Close())
	}
	head := make([]byte, longestMagic)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return errors.Join(unreadable(path, err), f.Close())
	}
	if err := f.Close(); err != nil {
		return unreadable(path, err)
	}
	packed := packingOf(head[:n])
	if packed == nil && !spool.Compressed(head[:n]) {
		packed = packingNamed(path)
	}
	switch {
	case packed == nil:
	case packed.unpack == nil:
		return packed.refuse(path)
	default:
		s.stream(path)
		return nil
	}
	s.inputs = append(s.inputs, pipeline.Input{
		Name: path, Size: info.Size(), Stamp: stampOf(info),
		Open: func() (spool.Lent, error) {
			f, err := os.Open(real)
			if err != nil {
				return nil, err
			}
			return lentFile{f}, nil
		},
	})
	return nil
}

// stream adds what is read once.
func (s *found) stream(path string) {
	file := &pipeFile{path: path}
	s.streams = true
	s.pipes = append(s.pipes, file)
	s.inputs = append(s.inputs, pipeline.Input{Name: path, Stream: &unpacked{name: path, under: file, close: file.close}})
}

// lentFile is a file that the conversion reads where it lies.
type lentFile struct{ *os.File }

var _ interface {
	spool.Lent
	io.Reader
} = lentFile{}

// Stamp implements spool.Lent.
func (f lentFile) Stamp() (string, error) {
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	return stampOf(info), nil
}

// stampOf tells one state of a file from another.
func stampOf(info fs.FileInfo) string {
	return fmt.Sprintf("%d %d", info.Size(), info.ModTime().UnixNano())
}

func unreadable(path string, err error) error {
	hint := "check the path, and that you may read it"
	if errors.Is(err, fs.ErrNotExist) {
		hint = "check the path; a symbolic link may lead nowhere"
	}
	return &usageError{message: "read " + path, err: pathless(err), hint: hint}
}

// pathless is the error without the path that the message has already.
func pathless(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
