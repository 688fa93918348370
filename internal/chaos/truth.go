package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/parquet/rebuild"
)

// exportLog is the snapshot's log of the export.
const exportLog = "log.ndjson"

// multiset counts texts.
type multiset map[string]int

// difference is what of want is missing in got, and what got has beyond it.
func difference(want, got multiset) (lost, extra int) {
	for text, n := range want {
		lost += max(n-got[text], 0)
	}
	for text, n := range got {
		extra += max(n-want[text], 0)
	}
	return lost, extra
}

// truth is what the server holds of each type, line by line.
func truth(data string, types []string) (map[string]multiset, error) {
	all := map[string]multiset{}
	for _, typ := range types {
		f, err := os.Open(filepath.Join(data, typ+".ndjson"))
		if err != nil {
			return nil, err
		}
		all[typ] = multiset{}
		err = errors.Join(eachLine(f, func(line []byte) error {
			all[typ][string(line)]++
			return nil
		}), f.Close())
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// ids are those of the resources of a type.
func ids(lines multiset) []string {
	var list []string
	for line := range lines {
		var r struct{ ID string }
		if json.Unmarshal([]byte(line), &r) == nil && r.ID != "" {
			list = append(list, r.ID)
		}
	}
	return list
}

func eachLine(r io.Reader, f func(line []byte) error) error {
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		if line = bytes.TrimSuffix(line, []byte("\n")); len(line) > 0 {
			if err := f(line); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// verdict is what a snapshot holds beside the truth.
type verdict struct {
	Resources   int `json:"resources"` // of the truth
	Lost        int `json:"lost"`
	Foreign     int `json:"foreign"` // or twice
	Quarantined int `json:"quarantined"`
}

func (v *verdict) add(o verdict) {
	v.Resources += o.Resources
	v.Lost += o.Lost
	v.Foreign += o.Foreign
	v.Quarantined += o.Quarantined
}

// judge checks a published snapshot against the truth: every resource once, in
// every format, but for the lines that were corrupt on their way and lie in
// quarantine. bad is how many those may be at most.
func judge(dir string, want map[string]multiset, bad int) (v verdict, problems []string, err error) {
	m, err := readManifest(dir)
	if err != nil {
		return v, nil, err
	}
	fault := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	lines, rows := map[string]multiset{}, map[string]multiset{}
	for typ := range want {
		lines[typ], rows[typ] = multiset{}, multiset{}
	}
	var rejected []string
	for _, f := range m.Files {
		path := filepath.Join(dir, filepath.FromSlash(f.Path))
		format, _, _ := strings.Cut(f.Path, "/")
		n := int64(0)
		switch {
		case filepath.Base(path) == "_schema.json", f.Path == exportLog:
			continue
		case format == "deleted":
			continue // see judgeDeletions
		case format == "quarantine":
			rejected, err = quarantined(path)
			n = int64(len(rejected))
		case lines[f.Type] == nil:
			fault("%s is of no type that was asked for", f.Path)
			continue
		case format == "ndjson":
			n, err = readLines(path, lines[f.Type])
		case format == "parquet":
			n, err = readRows(path, rows[f.Type])
		default:
			fault("%s is not expected", f.Path)
			continue
		}
		if err != nil {
			return v, nil, fmt.Errorf("read %s: %w", f.Path, err)
		}
		if n != f.Rows {
			fault("%s has %d rows, its manifest says %d", f.Path, n, f.Rows)
		}
	}
	v.Quarantined = len(rejected)
	if len(rejected) > bad {
		fault("%d lines are in quarantine, at most %d were corrupt", len(rejected), bad)
	}
	for _, line := range rejected {
		typ, original := original(line, want)
		if original == "" {
			fault("a line in quarantine is none of the server's")
			continue
		}
		lines[typ][original]++ // delivered, and accounted for
		if text, err := rebuild.Canonical(nil, []byte(original)); err == nil {
			rows[typ][string(text)]++
		}
	}
	for typ, set := range want {
		for _, n := range set {
			v.Resources += n
		}
		lost, extra := difference(set, lines[typ])
		canonical := multiset{}
		for line, n := range set {
			text, err := rebuild.Canonical(nil, []byte(line))
			if err != nil {
				return v, nil, err
			}
			canonical[string(text)] += n
		}
		lostRows, extraRows := difference(canonical, rows[typ])
		if lost+extra+lostRows+extraRows > 0 {
			fault("%s: NDJSON %d lost, %d foreign or twice; Parquet %d lost, %d foreign or twice", typ, lost, extra, lostRows, extraRows)
		}
		v.Lost += max(lost, lostRows)
		v.Foreign += max(extra, extraRows)
	}
	problems = append(problems, balance(m, want, len(rejected))...)
	return v, problems, nil
}

// balance checks the numbers of the manifest (I3).
func balance(m *sinks.Manifest, want map[string]multiset, rejected int) (problems []string) {
	seen, quarantined := 0, int64(0)
	for _, c := range m.Types {
		if want[c.Type] == nil {
			continue
		}
		seen++
		quarantined += c.Quarantined
		if sum := c.Published + c.Quarantined + c.Superseded + c.Outcomes + c.Headers + c.Filtered; sum != c.Delivered {
			problems = append(problems, fmt.Sprintf("I3: %s: %d delivered, %d accounted for", c.Type, c.Delivered, sum))
		}
		if n := len(want[c.Type]); c.Published+c.Quarantined != int64(n) {
			problems = append(problems, fmt.Sprintf("I3: %s: %d published and %d quarantined of %d", c.Type, c.Published, c.Quarantined, n))
		}
	}
	if seen != len(want) {
		problems = append(problems, fmt.Sprintf("I9: the manifest tells of %d types of %d", seen, len(want)))
	}
	if quarantined != int64(rejected) {
		problems = append(problems, fmt.Sprintf("I3: %d lines quarantined, %d in the file", quarantined, rejected))
	}
	return problems
}

// original finds the server's line of which a rejected one is a copy with one
// corrupt byte.
func original(line string, want map[string]multiset) (typ, text string) {
	for typ, set := range want {
		for text := range set {
			if len(text) != len(line) {
				continue
			}
			wrong := 0
			for i := 0; i < len(text) && wrong < 2; i++ {
				if text[i] != line[i] {
					wrong++
				}
			}
			if wrong == 1 {
				return typ, text
			}
		}
	}
	return "", ""
}

// quarantined reads the lines of a quarantine file.
func quarantined(path string) (list []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return list, eachLine(f, func(line []byte) error {
		var r struct{ Text, Base64 string }
		if err := json.Unmarshal(line, &r); err != nil {
			return err
		}
		if r.Base64 != "" {
			raw, err := base64.StdEncoding.DecodeString(r.Base64)
			if err != nil {
				return err
			}
			r.Text = string(raw)
		}
		list = append(list, r.Text)
		return nil
	})
}

// readLines adds the lines of a published NDJSON file to the set.
func readLines(path string, set multiset) (int64, error) {
	return eachResource(path, func(line []byte) error {
		set[string(line)]++
		return nil
	})
}

// readRows adds the canonical form of a Parquet file's resources to the set.
func readRows(path string, set multiset) (int64, error) {
	return eachRow(path, func(json []byte) error {
		text, err := rebuild.Canonical(nil, json)
		set[string(text)]++
		return err
	})
}

// eachResource reads the lines of a published NDJSON file.
func eachResource(path string, f func(line []byte) error) (n int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var r io.Reader = file
	switch filepath.Ext(path) {
	case ".gz":
		if r, err = gzip.NewReader(file); err != nil {
			return 0, err
		}
	case ".zst":
		d, err := zstd.NewReader(file)
		if err != nil {
			return 0, err
		}
		defer d.Close()
		r = d
	}
	return n, eachLine(r, func(line []byte) error {
		n++
		return f(line)
	})
}

// eachRow reads the rows of a Parquet file as JSON.
func eachRow(path string, f func(json []byte) error) (n int64, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return n, rebuild.Rebuild(file, info.Size(), func(json []byte) error {
		n++
		return f(json)
	})
}
