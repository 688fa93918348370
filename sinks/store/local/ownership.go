package local

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
)

// ownership is the modes and the group of what is published.
type ownership struct {
	fileMode, dirMode fs.FileMode
	gid               int // -1 leaves the group as it is
}

func (s *Store) ownership() (*ownership, error) {
	o := &ownership{fileMode: s.FileMode.Perm() | 0o600, dirMode: s.DirMode.Perm() | 0o700, gid: -1}
	if s.Group == "" {
		return o, nil
	}
	gid, err := strconv.Atoi(s.Group)
	if err != nil {
		g, err := user.LookupGroup(s.Group)
		if err != nil {
			return nil, &Error{
				Op: "open destination", Path: s.Path, Err: err, class: "usage",
				hint: "destination.group must be a group of this machine, or its number.",
			}
		}
		if gid, err = strconv.Atoi(g.Gid); err != nil {
			return nil, fmt.Errorf("open destination: group %s: %w", s.Group, err)
		}
	}
	o.gid = gid
	return o, nil
}

// file gives a file its mode and group; dir does so for a folder.
func (o *ownership) file(path string) error { return o.apply(path, o.fileMode) }

func (o *ownership) dir(path string) error { return o.apply(path, o.dirMode) }

func (o *ownership) apply(path string, mode fs.FileMode) error {
	if o.gid >= 0 {
		if err := os.Lchown(path, -1, o.gid); err != nil {
			return fmt.Errorf("set group: %w", err)
		}
	}
	if err := os.Chmod(path, mode); err != nil { // after chown, which may clear bits
		return fmt.Errorf("set mode: %w", err)
	}
	return nil
}

// open gives an open file its mode and group.
func (o *ownership) open(f *os.File) error {
	if o.gid >= 0 {
		if err := f.Chown(-1, o.gid); err != nil {
			return fmt.Errorf("set group: %w", err)
		}
	}
	if err := f.Chmod(o.fileMode); err != nil {
		return fmt.Errorf("set mode: %w", err)
	}
	return nil
}
