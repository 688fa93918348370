package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
)

// lines calls visit with every line and its offset, without its line end. The
// slice is valid until visit returns.
func lines(ctx context.Context, in io.Reader, visit func(offset int64, line []byte) error) error {
	r := bufio.NewReaderSize(in, 1<<20)
	var offset int64
	var long []byte
	for n := 0; ; n++ {
		if n&1023 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		chunk, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, chunk...)
			n--
			continue
		}
		if err != nil && err != io.EOF {
			return err
		}
		whole := chunk
		if len(long) > 0 {
			long = append(long, chunk...)
			whole = long
		}
		line, at := trim(whole), offset
		if at == 0 {
			if cut, ok := bytes.CutPrefix(line, []byte("\xef\xbb\xbf")); ok {
				line, at = cut, 3
			}
		}
		if len(whole) > 0 {
			if err := visit(at, line); err != nil {
				return err
			}
		}
		offset += int64(len(whole))
		long = long[:0]
		if err == io.EOF {
			return nil
		}
	}
}

// trim takes the line end and trailing blanks off; leading blanks stay, so
// that the offset does.
func trim(line []byte) []byte { return bytes.TrimRight(line, "\r\n \t") }
