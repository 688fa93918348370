package verify

import (
	"bufio"
	"bytes"
	"io"
	"path"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/flue-fhir/flue/internal/fhirjson"
)

// decoded reads the text of a file, by its name. The caller closes it, which
// does not close r.
func decoded(name string, r io.Reader) (io.ReadCloser, error) {
	switch path.Ext(name) {
	case ".gz":
		return gzip.NewReader(r)
	case ".zst":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}

var mark = []byte("\ufeff")

// countLines counts the lines that are not blank, without holding one in
// memory.
func countLines(name string, r io.Reader) (n int64, err error) {
	body, err := decoded(name, r)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	in := bufio.NewReaderSize(body, 256<<10)
	if head, _ := in.Peek(len(mark)); bytes.Equal(head, mark) {
		_, _ = in.Discard(len(mark))
	}
	filled := false // the line has something else than white space
	for {
		piece, err := in.ReadSlice('\n')
		filled = filled || len(bytes.Trim(piece, " \t\r\n")) > 0
		if err == bufio.ErrBufferFull {
			continue
		}
		if filled {
			n++
		}
		filled = false
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// longestLine bounds the memory for one line: what a Parquet cell can hold.
const longestLine = 1 << 30

// eachLine yields the lines that are not blank. They are valid until yield
// returns.
func eachLine(name string, r io.Reader, yield func(line []byte) error) error {
	body, err := decoded(name, r)
	if err != nil {
		return err
	}
	defer body.Close()
	in := fhirjson.NewReader(body, longestLine)
	for {
		line, err := in.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = yield(line)
		}
		if err != nil {
			return err
		}
	}
}
