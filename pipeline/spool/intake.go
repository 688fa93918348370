package spool

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/flue-fhir/flue/internal/fhirjson"
)

const (
	maxTypes   = 4096 // resource types that one part may have
	maxReasons = 4096 // kinds of faults that one part tells apart
	maxLineLen = 64 << 20
)

// LongLine is the reason for which a line over Spool.MaxLine is quarantined.
const LongLine = "line longer than max_line"

// intake walks the lines of one body: of one that lands in a goroutine of its
// own, while Landing reads the body and writes it to the disk.
type intake struct {
	spool *Spool
	feed  feed
	done  chan struct{} // closed when the goroutine has ended
	shut  bool          // the feed is closed; the landing's own

	// The goroutine's own until done is closed.
	err      error
	info     Info
	rows     int64 // lines, blank ones too
	index    indexWriter
	names    []string // types by ordinal
	reasons  []string // by ordinal
	trees    map[string]string
	cutLine  bool // the last line is invalid and has no line end
	types    []*typeStat
	byName   map[string]*typeStat
	byReason map[string]int
	counts   []int64 // by reason
	issues   issueCounts
	scratch  []byte
}

type typeStat struct {
	TypeInfo
	ordinal     int
	first, last int64 // lastUpdated in µs
}

func (s *Spool) newIntake(dir string) *intake {
	return &intake{
		spool:    s,
		done:     make(chan struct{}),
		index:    indexWriter{dir: dir},
		trees:    map[string]string{},
		byName:   map[string]*typeStat{},
		byReason: map[string]int{},
		issues:   issueCounts{},
	}
}

// startIntake starts an intake that walks what is sent to it.
func (s *Spool) startIntake(dir string) *intake {
	in := s.newIntake(dir)
	in.feed = feed{ch: make(chan []byte, 1), recycle: s.pools.putBuffer}
	go func() {
		defer close(in.done)
		in.err = in.run(s.newDecoder(&in.feed, true))
	}()
	return in
}

// walk is an intake of a body that is there already: it ends with the body, and
// has no goroutine.
func (in *intake) walk(d *decoder) error {
	defer close(in.done)
	in.shut = true
	in.err = in.run(d)
	return in.err
}

// send hands over a buffer. It returns the error of the goroutine when that has
// ended before its time.
func (in *intake) send(b []byte) error {
	select {
	case in.feed.ch <- b:
		return nil
	case <-in.done:
		if in.err == nil {
			return io.ErrShortWrite
		}
		return in.err
	}
}

// finish says that the body is whole and waits for the end.
func (in *intake) finish() error {
	in.shut = true
	close(in.feed.ch)
	<-in.done
	in.feed.drop()
	return in.err
}

// stop ends the goroutine, waits for it and drops what it has.
func (in *intake) stop() {
	if !in.shut {
		in.feed.broken = errClosed
		_ = in.finish()
	}
	in.index.close()
}

// dead reports whether the goroutine has ended with an error.
func (in *intake) dead() bool {
	select {
	case <-in.done:
		return in.err != nil
	default:
		return false
	}
}

func (in *intake) run(d *decoder) error {
	defer d.close()
	lines := in.spool.pools.lines(d, in.spool.maxLine())
	defer in.spool.pools.putLines(lines)
	walker := fhirjson.Walker{Limits: in.spool.Limits}
	var plain int64 // bytes of the lines, each with one line feed
	for {
		line, err := lines.Next()
		if err == io.EOF {
			break
		}
		if tooLong := (*fhirjson.TooLongError)(nil); err != nil && !errors.As(err, &tooLong) {
			return in.spool.full(err)
		}
		plain += int64(len(line)) + 1
		in.info.Lines++
		r := record{line: lines.Number(), offset: lines.Offset()}
		if r.line >= maxLineNo {
			return &ContentError{Fault: Bomb}
		}
		if err != nil {
			r.flags = flagLong
			in.quarantine(&r, 0, LongLine)
			in.cutLine = false
		} else {
			in.take(&walker, line, &r)
		}
		if err := in.index.add(&r); err != nil {
			return in.spool.full(err)
		}
	}
	for _, t := range walker.Trees() {
		text, err := t.MarshalText()
		if err != nil {
			return fmt.Errorf("write columns: %w", err)
		}
		in.trees[t.Type] = string(text)
	}
	in.cutLine = in.cutLine && d.last != '\n'
	in.rows = lines.Lines()
	in.info.Encoding, in.info.Layers = d.encoding, d.layers()
	in.info.RawBytes = d.raw.n
	in.info.Bytes = d.bytes
	in.info.Plain = plain == d.bytes
	if d.sum != nil {
		in.info.SHA256 = hex.EncodeToString(d.sum.Sum(nil))
	}
	in.summarize()
	return nil
}

// take walks one line and fills its record.
func (in *intake) take(walker *fhirjson.Walker, line []byte, r *record) {
	l, err := walker.Walk(line, nil)
	in.cutLine = false
	if err != nil {
		column, reason := int64(0), "invalid JSON"
		if syntax := (*fhirjson.SyntaxError)(nil); errors.As(err, &syntax) {
			column, reason = syntax.Offset, syntax.Reason
		}
		in.cutLine = true
		in.quarantine(r, column, reason)
		return
	}
	switch {
	case l.Type == "":
		in.quarantine(r, 0, "no resourceType")
		return
	case l.Type == "OperationOutcome":
		r.kind = outcomeLine
		in.info.Outcomes++
		in.issues.add(line)
		return
	case l.Type == "Parameters" && isBlockHeader(line):
		r.kind = headerLine
		in.info.Headers++
		return
	case !l.Known && !PlausibleType(l.Type):
		in.quarantine(r, 0, "resourceType is no name of a type")
		return
	}
	t := in.stat(l)
	if t == nil {
		in.quarantine(r, 0, "too many resource types in one file")
		return
	}
	r.typ = t.ordinal
	t.Lines++
	if len(l.ID) == 0 {
		r.flags |= flagNoID
		t.WithoutID++
	} else {
		r.id, in.scratch = hashID(in.scratch, l.Type, l.ID)
	}
	if l.Subsetted {
		r.flags |= flagSubsetted
		t.Subsetted++
	}
	r.updated = parseUpdated(l.LastUpdated)
	if r.updated != noTime {
		if t.first == noTime || r.updated < t.first {
			t.first = r.updated
		}
		t.last = max(t.last, r.updated)
	}
}

// stat returns the counts of a line's type; nil when there are too many types.
func (in *intake) stat(l fhirjson.Line) *typeStat {
	if n := len(in.types); n > 0 && in.types[n-1].Type == l.Type { // most bodies have one
		return in.types[n-1]
	}
	if t := in.byName[l.Type]; t != nil {
		return t
	}
	if len(in.types) == maxTypes {
		return nil
	}
	name := strings.Clone(l.Type)
	t := &typeStat{TypeInfo: TypeInfo{Type: name, Known: l.Known}, ordinal: len(in.types), first: noTime, last: noTime}
	in.types = append(in.types, t)
	in.names = append(in.names, name)
	in.byName[name] = t
	return t
}

func (in *intake) quarantine(r *record, column int64, reason string) {
	ordinal, ok := in.byReason[reason]
	if !ok {
		if len(in.reasons) == maxReasons {
			ordinal = maxReasons - 1
		} else {
			ordinal = len(in.reasons)
			in.byReason[reason] = ordinal
			in.reasons = append(in.reasons, reason)
			in.counts = append(in.counts, 0)
		}
	}
	in.counts[ordinal]++
	in.info.Quarantined++
	r.kind, r.typ, r.column = quarantineLine, ordinal, column
}

// summarize fills the sorted lists of info.
func (in *intake) summarize() {
	span := typeStat{first: noTime, last: noTime}
	for _, t := range in.types {
		t.Updated = t.span()
		in.info.Types = append(in.info.Types, t.TypeInfo)
		if t.first != noTime && (span.first == noTime || t.first < span.first) {
			span.first = t.first
		}
		span.last = max(span.last, t.last)
	}
	in.info.Updated = span.span()
	slices.SortFunc(in.info.Types, func(a, b TypeInfo) int { return strings.Compare(a.Type, b.Type) })
	in.info.Issues = in.issues.list()
	for i, text := range in.reasons {
		in.info.Reasons = append(in.info.Reasons, Reason{Text: text, Count: in.counts[i]})
	}
	slices.SortFunc(in.info.Reasons, func(a, b Reason) int { return strings.Compare(a.Text, b.Text) })
}

func (t *typeStat) span() UpdatedSpan {
	if t.first == noTime {
		return UpdatedSpan{}
	}
	return UpdatedSpan{First: time.UnixMicro(t.first).UTC(), Last: time.UnixMicro(t.last).UTC()}
}

// PlausibleType reports whether a name may be that of a resource type, known or not,
// and with that of a folder (F29, F32). The lines of a part have no other types.
func PlausibleType(typ string) bool {
	if typ == "" || len(typ) > 64 || typ[0] < 'A' || typ[0] > 'Z' {
		return false
	}
	for i := 1; i < len(typ); i++ {
		if c := typ[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9') {
			return false
		}
	}
	return true
}
