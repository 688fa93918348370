package ndjson

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// encode appends src to dst as a stream that is whole in itself: a gzip member
// or a zstd frame. It is for one goroutine at a time.
type encode func(dst, src []byte) ([]byte, error)

func (s *Sink) gzip() (encode, error) {
	level := s.Level
	if level == 0 {
		level = gzip.DefaultCompression
	}
	z, err := gzip.NewWriterLevel(io.Discard, level)
	if err != nil {
		return nil, fmt.Errorf("make encoder: %w", err)
	}
	return func(dst, src []byte) ([]byte, error) {
		out := bytes.NewBuffer(dst)
		z.Reset(out)
		if _, err := z.Write(src); err != nil {
			return nil, err
		}
		if err := z.Close(); err != nil {
			return nil, err
		}
		return out.Bytes(), nil
	}, nil
}

func (s *Sink) zstd() (encode, error) {
	level := zstd.SpeedDefault
	if s.Level != 0 {
		level = zstd.EncoderLevelFromZstd(s.Level)
	}
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(level), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(block))
	if err != nil {
		return nil, fmt.Errorf("make encoder: %w", err)
	}
	return func(dst, src []byte) ([]byte, error) { return z.EncodeAll(src, dst), nil }, nil
}
