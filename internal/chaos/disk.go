package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// smallDisk is the room of a disk that will be filled.
const smallDisk = 64 << 20

// disk is a small file system that can be filled to its last byte.
type disk struct {
	dir     string
	ballast string // file that fills it
}

// newDisk mounts a small file system at dir.
func newDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := mountSmall(dir, smallDisk); err != nil {
		return nil, fmt.Errorf("mount: %w", err)
	}
	return &disk{dir: dir, ballast: filepath.Join(dir, ".ballast")}, nil
}

func (d *disk) close() error {
	if d == nil {
		return nil
	}
	return unmount(d.dir)
}

// fill leaves no byte free.
func (d *disk) fill() error {
	f, err := os.OpenFile(d.ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	block := make([]byte, 64<<10)
	for size := len(block); size > 0; {
		_, err := f.Write(block[:size])
		switch {
		case errors.Is(err, syscall.ENOSPC):
			size /= 2
		case err != nil:
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// clear makes the room free again.
func (d *disk) clear() error {
	if d == nil {
		return nil
	}
	if err := os.Remove(d.ballast); err != nil && !os.IsNotExist(err) {
		return err
	}
	return nil
}

// fillDisk fills the disk of the site, if it has one of its own.
func (s *site) fillDisk(string) bool {
	if s.disk == nil {
		s.mu.Lock()
		s.noDisk = true
		s.mu.Unlock()
		return false
	}
	if err := s.disk.fill(); err != nil {
		s.violate("fill the disk: " + err.Error())
		return false
	}
	return true
}
