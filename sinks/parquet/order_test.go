package parquet

import (
	"fmt"
	"testing"

	"github.com/flue-fhir/flue/internal/definition"
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
	_, dst := roundTrip(t, &Sink{Sort: true}, in)
	wantColumn(t, dst, observation0, "id", "7", "6", "5", "8", "2", "3", "4", "1")
}

// TestSortKeepsRows: sorting loses and doubles nothing, whatever the type.
func TestSortKeepsRows(t *testing.T) {
	in := newInput(t, "Patient", text(patients(3000)...))
	s := &Sink{Sort: true, Workers: 3, block: 2048, RowGroup: 30_000}
	roundTrip(t, s, in)
	in.Budget = 1 << 20
	roundTrip(t, s, in)
	for _, typ := range definition.Resources() {
		roundTrip(t, s, newInput(t, typ, text(fmt.Sprintf(`{"resourceType":%q,"id":"a"}`, typ))))
	}
}
