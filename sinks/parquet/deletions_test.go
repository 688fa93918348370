package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/apache/arrow/go/v17/parquet"
	arrowfile "github.com/apache/arrow/go/v17/parquet/file"
	"github.com/google/go-cmp/cmp"

	"github.com/flue-fhir/flue/sinks/sinktest"
)

// texts reads a column of required strings.
func texts(t *testing.T, r *arrowfile.Reader, column int) (list []string) {
	t.Helper()
	for g := range r.NumRowGroups() {
		chunk, err := r.RowGroup(g).Column(column)
		if err != nil {
			t.Fatal(err)
		}
		in := chunk.(*arrowfile.ByteArrayColumnChunkReader)
		for in.HasNext() {
			batch := make([]parquet.ByteArray, 1000)
			n, _, err := in.ReadBatch(int64(len(batch)), batch, nil, nil)
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			for _, v := range batch[:n] {
				list = append(list, v.String())
			}
		}
	}
	return list
}

// TestDeletions writes deletions of every length and reads them again, in their
// order, with and without row groups between them.
func TestDeletions(t *testing.T) {
	for _, count := range []int{0, 1, 20_000} {
		for _, compression := range []string{Zstd, None} {
			t.Run(fmt.Sprint(count, compression), func(t *testing.T) {
				dst := newStaging()
				w, err := (&Sink{Version: "1", Compression: compression, RowGroup: 100_000}).Deletions(t.Context(), "run-1", dst)
				if err != nil {
					t.Fatal(err)
				}
				var types, ids, runs []string
				for i := range count {
					typ, id := []string{"Patient", "Observation"}[i/7%2], fmt.Sprintf("%064x", i*i)[i%60:]
					types, ids, runs = append(types, typ), append(ids, id), append(runs, "run-1")
					if err := w.Add(typ, id); err != nil {
						t.Fatal(err)
					}
				}
				f, err := w.Commit()
				if err != nil {
					t.Fatal(err)
				}
				data := dst.files[f.Path]
				if f.Rows != int64(count) || f.Bytes != int64(len(data)) || f.Path != "deleted/part-00000.parquet" || f.Type != "" {
					t.Errorf("file %+v of %d bytes, want %d rows", f, len(data), count)
				}
				footer, err := ReadFooter(bytes.NewReader(data), int64(len(data)))
				if err != nil {
					t.Fatal(err)
				}
				want := []Column{{Name: "type", Type: "string", Required: true}, {Name: "id", Type: "string", Required: true}, {Name: "run", Type: "string", Required: true}}
				if d := cmp.Diff(want, footer.Columns); d != "" {
					t.Errorf("columns (-want +got):\n%s", d)
				}
				if footer.Run != "run-1" || count > 10_000 && footer.RowGroups < 3 {
					t.Errorf("footer %+v", footer)
				}
				r, err := arrowfile.NewParquetReader(bytes.NewReader(data))
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				for i, want := range [][]string{types, ids, runs} {
					if d := cmp.Diff(want, texts(t, r, i)); d != "" {
						t.Errorf("column %d (-want +got):\n%s", i, d)
					}
				}
			})
		}
	}
}

// A staging that fails at any step leaves no file and no open one.
func TestDeletionsFail(t *testing.T) {
	for at := 1; ; at++ {
		dst := &sinktest.Staging{FailAt: at}
		err := func() error {
			w, err := (&Sink{RowGroup: 100}).Deletions(t.Context(), "run-1", dst)
			if err != nil {
				return err
			}
			for i := range 20 {
				if err := w.Add("Patient", fmt.Sprint("id-", i)); err != nil {
					return errors.Join(err, w.Abort())
				}
			}
			if _, err := w.Commit(); err != nil {
				return errors.Join(err, w.Abort())
			}
			return nil
		}()
		if err == nil {
			if at < 5 {
				t.Errorf("only %d steps", at)
			}
			return
		}
		if !errors.Is(err, sinktest.ErrInjected) {
			t.Errorf("step %d: %v, want the injected error", at, err)
		}
		if files, faults := dst.Files(), dst.Faults(); len(files)+len(faults) > 0 {
			t.Errorf("step %d: files %v, %v", at, files, faults)
		}
	}
}
