package sandbox

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/flue-fhir/flue/export/sandbox/store"
	"github.com/samply/golang-fhir-models/fhir-models/fhir"
)

// newFile describes the n-th file of a name, from 1: Patient.000001.ndjson. Its
// tag is made of where the bytes lie, which do not change for as long as the
// index or the job, the scope, lives.
func newFile(typ, name string, n int, p store.Piece, scope string, owned bool) *outFile {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d\x00%d", scope, p.Path, p.Offset, p.Length))
	return &outFile{typ: typ, name: fmt.Sprintf("%s.%06d.ndjson", name, n), tag: hex.EncodeToString(sum[:12]), piece: p, owned: owned}
}

// fileWriter writes a type's lines into one file in the job's folder, of which
// each file of the export is a piece.
type fileWriter struct {
	job   *job
	typ   string // in the manifest
	name  string // of the files
	size  int64
	lines int

	files []*outFile
	piece store.Piece // that is being written
	file  *os.File
	out   *bufio.Writer
}

func (w *fileWriter) add(line []byte) error {
	length := int64(len(line)) + 1
	if w.file == nil {
		w.piece.Path = filepath.Join(w.job.dir, w.name)
		f, err := os.OpenFile(w.piece.Path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		w.file, w.out = f, bufio.NewWriterSize(f, 256<<10)
	}
	if w.piece.Length+length > w.size || w.lines > 0 && w.piece.Lines >= w.lines {
		w.cut()
	}
	w.piece.Length += length
	w.piece.Lines++
	_, err := w.out.Write(line)
	return errors.Join(err, w.out.WriteByte('\n'))
}

// cut ends the piece that is being written, if it has lines.
func (w *fileWriter) cut() {
	if w.piece.Lines == 0 {
		return
	}
	w.files = append(w.files, newFile(w.typ, w.name, len(w.files)+1, w.piece, w.job.id, true))
	w.piece = store.Piece{Path: w.piece.Path, Offset: w.piece.Offset + w.piece.Length}
}

// finish ends the last piece and closes the file, if there is one.
func (w *fileWriter) finish() error {
	if w.file == nil {
		return nil
	}
	w.cut()
	return errors.Join(w.out.Flush(), w.file.Close())
}

// deletionsABundle is how many deletions a line of a deleted file has at most.
const deletionsABundle = 50

// writeDeleted writes the deletions since _since, as transactions (EX2,
// deleted).
func (s *Server) writeDeleted(j *job) error {
	if j.asked.since.IsZero() {
		return nil
	}
	byType := map[string][]store.Deletion{}
	for _, d := range j.view.Deleted(j.asked.since) {
		if !j.asked.until.IsZero() && !d.At.Before(j.asked.until) || !slices.Contains(j.asked.types, d.Type) || !j.granted(d.Type) {
			continue
		}
		if j.asked.level != levelSystem && !slices.Contains(supporting, d.Type) && !d.Of(j.asked.patients) {
			continue
		}
		byType[d.Type] = append(byType[d.Type], d)
	}
	w := &fileWriter{job: j, typ: "Bundle", name: "deleted", size: orElse(s.FileSize, defaultFileSize), lines: s.FileLines}
	for _, typ := range j.asked.types {
		for some := range slices.Chunk(byType[typ], deletionsABundle) {
			bundle := fhir.Bundle{Type: fhir.BundleTypeTransaction}
			for _, d := range some {
				bundle.Entry = append(bundle.Entry, fhir.BundleEntry{Request: &fhir.BundleEntryRequest{Method: fhir.HTTPVerbDELETE, Url: d.Type + "/" + d.ID}})
			}
			line, err := json.Marshal(bundle)
			if err != nil {
				return err
			}
			if err := w.add(line); err != nil {
				return err
			}
		}
	}
	err := w.finish()
	j.deleted = w.files
	return err
}

// writeOutcomes writes what a lenient request was not given.
func (s *Server) writeOutcomes(j *job) error {
	w := &fileWriter{job: j, typ: "OperationOutcome", name: "error", size: defaultFileSize}
	for _, text := range j.asked.ignored {
		line, err := json.Marshal(outcome(issue{"warning", "not-supported", text}))
		if err != nil {
			return err
		}
		if err := w.add(line); err != nil {
			return err
		}
	}
	err := w.finish()
	j.errors = w.files
	return err
}
