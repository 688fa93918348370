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

func TestSink(t *testing.T) {
	sinktest.TestSink(t, sinktest.SinkHarness{
		New: func() sinks.Sink { return &Sink{TargetSize: 20 << 10, RowGroup: 64 << 10} },
		IDs: func(t *testing.T, path string, data []byte) ([]string, bool) {
			if !strings.HasSuffix(path, ".parquet") {
				return nil, false
			}
			var ids []string
			err := rebuild.Rebuild(bytes.NewReader(data), int64(len(data)), func(text []byte) error {
				var r struct{ ID string }
				if err := json.Unmarshal(text, &r); err != nil {
					return err
				}
				ids = append(ids, r.ID)
				return nil
			})
			if err != nil {
				t.Errorf("%s: %v", path, err)
			}
			return ids, true
		},
	})
}
