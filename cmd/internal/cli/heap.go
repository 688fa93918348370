package cli

import "runtime/debug"

// Bounds of the heap from which on garbage is collected harder.
const (
	defaultHeap = 320 << 20
	leastHeap   = 256 << 20
)

// limitHeap has garbage collected harder when the heap passes five quarters of the
// memory that a job's buffers may have, 0 for the default (I8). GOMEMLIMIT in the environment takes precedence.
func (a *app) limitHeap(memory int64) {
	if _, set := a.sys.LookupEnv("GOMEMLIMIT"); set {
		return
	}
	limit := int64(defaultHeap)
	if memory > 0 {
		limit = max(memory/8*10, leastHeap)
	}
	debug.SetMemoryLimit(limit)
}
