package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// mountSmall gives the folder a file system of its own with little room. It
// needs root.
func mountSmall(dir string, bytes int64) error {
	return unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, fmt.Sprintf("size=%d,mode=0700", bytes))
}

func unmount(dir string) error { return unix.Unmount(dir, unix.MNT_DETACH) }
