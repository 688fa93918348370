package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/internal/definition"
	"github.com/flue-fhir/flue/sinks"
)

func TestSort(t *testing.T) {
	in := newInput(t, "Observation", text(
		`{"resourceType":"Observation","id":"1","subject":{"reference":"Patient/b"},"effectiveDateTime":"2021"}`,
		`{"resourceType":"Observation","id":"2","issued":"2019-01-01T00:00:00Z","effectiveDateTime":"2022","subject":{"reference":"Patient/a"}}`,
		`{"resourceType":"Observation","id":"3","subject":{"reference":"Patient/a"}}`,
		`{"resourceType":"Observation","id":"4","subject":{"reference":"Patient/b"},"effectivePeriod":{"end":"2019","start":"2020-06"}}`,
		`{"resourceType":"Observation","id":"5","subject":{"reference":"Patient/a"},"effectiveDateTime":"2020-01-01T23:00:00-05:00"}`,
		`{"resourceType":"Observation","id":"6","subject":{"reference":"Patient/a"},"effectiveDateTime":"2020-01-02"}`,
		`{"resourceType":"Observation","id":"7"}`,
		`{"resourceType":"Observation","id":"8","subject":{"reference":"Patient/a"},"issued":"2021-06-01T00:00:00Z"}`))
	_, dst := roundTrip(t, &Sink{Sort: Patient}, in)
	wantColumn(t, dst, observation0, "id", "7", "6", "5", "8", "2", "3", "4", "1")
}

// scratch is a sinks.Scratch in memory.
type scratch struct {
	data   []byte
	writes int // that succeed; -1 for all
	closed int
}

var errScratch = errors.New("no scratch")

func (s *scratch) Write(b []byte) (int, error) {
	if s.writes == 0 {
		return 0, errScratch
	}
	s.writes--
	s.data = append(s.data, b...)
	return len(b), nil
}

func (s *scratch) ReadAt(b []byte, at int64) (int, error) {
	return bytes.NewReader(s.data).ReadAt(b, at)
}

func (s *scratch) Close() error {
	s.closed++
	return nil
}

// visits makes n observations of so many patients, in no order; some are long.
func visits(n, patients int) []string {
	rng := rand.New(rand.NewPCG(1, 2))
	lines := make([]string, n)
	for i := range lines {
		note := "short"
		if i%1000 == 7 {
			note = strings.Repeat("long", 20_000)
		}
		lines[i] = fmt.Sprintf(`{"resourceType":"Observation","id":"o%d","status":"final","subject":{"reference":"Patient/%04d"},"effectiveDateTime":"20%02d-01-01","note":[{"text":%q}]}`,
			i, rng.IntN(patients), rng.IntN(30), note)
	}
	return lines
}

// TestSortPrunes: a type is sorted over all of its files, within the memory and
// beyond it, and so the statistics of all row groups but a few rule a patient
// out.
func TestSortPrunes(t *testing.T) {
	in := newInput(t, "Observation", text(visits(7000, 300)...), text(visits(9000, 200)...))
	groupsOf := func(s *Sink, in sinks.Input) (holding, all int, order []string) {
		out, dst := roundTrip(t, s, in)
		const name = "subject.reference"
		for _, f := range parquetFiles(out) {
			order = append(order, column(t, dst, f.Path, name)...)
			r := open(t, dst, f.Path)
			for g := range r.NumRowGroups() {
				all++
				low, high := statistics(t, r, g, name)
				if low <= "Patient/0123" && "Patient/0123" <= high {
					holding++
				}
				if low, high := statistics(t, r, g, "subject.__reference_id"); len(low) != 4 || low > high {
					t.Errorf("bounds of the id: %q, %q", low, high)
				}
			}
		}
		return holding, all, order
	}
	unsorted := &Sink{Workers: 1, block: 8 << 10, RowGroup: 100_000, TargetSize: 30_000}
	if holding, all, _ := groupsOf(unsorted, in); holding < all*9/10 {
		t.Errorf("unsorted: %d of %d row groups may hold a patient, want nearly all", holding, all)
	}
	s := *unsorted
	s.Sort = Patient
	for name, budget := range map[string]int64{"in memory": 64 << 20, "in runs": 2 << 20} {
		file := &scratch{writes: -1}
		in.Budget = budget
		in.Scratch = func() (sinks.Scratch, error) { return file, nil }
		holding, all, order := groupsOf(&s, in)
		if all < 20 || holding > 2 {
			t.Errorf("%s: %d of %d row groups may hold a patient, want one or two", name, holding, all)
		}
		if !slices.IsSorted(order) || len(order) != 16_000 {
			t.Errorf("%s: the %d patients of the rows are not in order", name, len(order))
		}
		if spilled := len(file.data) > 0; spilled != (budget < 4<<20) || spilled != (file.closed == 1) {
			t.Errorf("%s: %d bytes in the scratch file, closed %d times", name, len(file.data), file.closed)
		}
	}
}

// TestSortIsStable: runs and memory give the same order, that of delivery among
// equals, and the same bytes each time (I5).
func TestSortIsStable(t *testing.T) {
	lines := visits(3000, 3)
	in := newInput(t, "Observation", text(lines...))
	var orders [][]string
	for _, budget := range []int64{64 << 20, 1 << 20, 1 << 20} {
		in.Budget = budget
		in.Scratch = func() (sinks.Scratch, error) { return &scratch{writes: -1}, nil }
		_, dst := roundTrip(t, &Sink{Sort: Patient, Workers: 1, block: 8 << 10}, in)
		orders = append(orders, column(t, dst, observation0, "id"))
	}
	if !slices.Equal(orders[0], orders[1]) || !slices.Equal(orders[1], orders[2]) {
		t.Error("the order depends on the memory")
	}
}

// TestSortFails: a scratch file that fails, or is not there, fails the
// conversion and is closed, and nothing is left.
func TestSortFails(t *testing.T) {
	in := newInput(t, "Observation", text(visits(3000, 30)...))
	in.Budget = 1 << 20
	s := &Sink{Sort: Patient, block: 8 << 10}
	dst := newStaging()
	if _, err := s.Convert(t.Context(), in, dst); !errors.Is(err, errNoScratch) || len(dst.files) > 0 {
		t.Errorf("without a place: %v, %d files", err, len(dst.files))
	}
	for writes := range 3 {
		file := &scratch{writes: writes}
		in.Scratch = func() (sinks.Scratch, error) { return file, nil }
		if _, err := s.Convert(t.Context(), in, dst); !errors.Is(err, errScratch) || file.closed != 1 || len(dst.files) > 0 {
			t.Errorf("%d writes: %v, closed %d times, %d files", writes, err, file.closed, len(dst.files))
		}
	}
	file := &scratch{writes: -1}
	in.Scratch = func() (sinks.Scratch, error) { return cutScratch{file}, nil }
	if _, err := s.Convert(t.Context(), in, dst); err == nil || file.closed != 1 {
		t.Errorf("a scratch file that lost its end: %v", err)
	}
	if _, err := (&Sink{Sort: "date"}).Convert(t.Context(), in, dst); err == nil {
		t.Error("an unknown order is taken")
	}
}

// cutScratch reads as if the last byte of the file were gone.
type cutScratch struct{ *scratch }

func (s cutScratch) ReadAt(b []byte, at int64) (int, error) {
	return bytes.NewReader(s.data[:len(s.data)-1]).ReadAt(b, at)
}

// TestSortNamesTheLine: a line that cannot be converted is named by its place in
// what was delivered.
func TestSortNamesTheLine(t *testing.T) {
	first := `{"resourceType":"Patient","id":"z"}`
	in := newInput(t, "Patient", text(first), text(first))
	in.Parts = append(in.Parts, text(first, `{"resourceType":"Patient","id":"a"`), text(first, `{"resourceType":"Device","id":"a"}`))
	for part := 2; part < 4; part++ {
		in := in
		in.Parts = slices.Delete(slices.Clone(in.Parts), 5-part, 6-part)
		var bad *LineError
		if _, err := (&Sink{Sort: Patient}).Convert(t.Context(), in, newStaging()); !errors.As(err, &bad) || bad.Part != 2 || bad.Offset != int64(len(first)+1) {
			t.Errorf("got %v, want the second line of part 2", err)
		}
	}
}

// TestSortKeepsRows: sorting loses and doubles nothing, whatever the type.
func TestSortKeepsRows(t *testing.T) {
	p := text(append(patients(3000), "", "not JSON")...)
	p.skips = []int64{5, 17, 3001}
	in := newInput(t, "Patient", p, text(patients(100)...))
	in.Scratch = func() (sinks.Scratch, error) { return &scratch{writes: -1}, nil }
	s := &Sink{Sort: Patient, Workers: 3, block: 2048, RowGroup: 30_000}
	roundTrip(t, s, sinks.Input{Type: "Patient", Run: "r"})
	roundTrip(t, s, in)
	in.Budget = 1 << 20
	roundTrip(t, s, in)
	for _, typ := range definition.Resources() {
		roundTrip(t, s, newInput(t, typ, text(fmt.Sprintf(`{"resourceType":%q,"id":"a"}`, typ))))
	}
}
