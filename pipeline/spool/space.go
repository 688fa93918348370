package spool

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

const defaultMinFree = 256 << 20

// room returns a *FullError when writing more bytes would leave the disk with
// less than MinFree. spare is what could be written on top.
func (s *Spool) room(more int64) (spare int64, err error) {
	need := s.MinFree
	if need <= 0 {
		need = defaultMinFree
	}
	var st unix.Statfs_t
	if err := unix.Statfs(s.Dir, &st); err != nil {
		return 0, fmt.Errorf("read free space: %w", err)
	}
	free := int64(st.Bavail) * int64(st.Bsize)
	if free-more < need {
		return 0, &FullError{Dir: s.Dir, Free: free, Need: need}
	}
	return free - more - need, nil
}

// full makes a write's error for want of room a *FullError.
func (s *Spool) full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &FullError{Dir: s.Dir, Free: -1, Need: s.MinFree, Err: err}
	}
	return err
}
