package parquet

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/sinks"
	"github.com/flue-fhir/flue/sinks/parquet/rebuild"
	"github.com/flue-fhir/flue/sinks/sinktest"
)

func TestSuite(t *testing.T) {
	sinktest.TestSink(t, sinktest.SinkHarness{
		New: func() sinks.Sink {
			return &Sink{block: 8 << 10, RowGroup: 64 << 10, TargetSize: 20_000}
		},
		IDs: func(t *testing.T, path string, data []byte) (ids []string, ok bool) {
			if !strings.HasSuffix(path, ".parquet") {
				return nil, false
			}
			if err := rebuild.Rebuild(bytes.NewReader(data), int64(len(data)), func(row []byte) error {
				var r struct{ ID string }
				if err := json.Unmarshal(row, &r); err != nil {
					return err
				}
				ids = append(ids, r.ID)
				return nil
			}); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			return ids, true
		},
	})
}
