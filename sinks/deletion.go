package sinks

import "context"

// Deleter is a Sink that also holds deletions, in a file of their own beside those
// of the types.
type Deleter interface {
	Sink
	// Deletions begins the file of a run's deletions, in the folder deleted/. The
	// caller commits or aborts it; without a deletion it has no rows.
	Deletions(ctx context.Context, run string, dst Staging) (DeletionWriter, error)
}

// DeletionWriter is a file of deletions that is being written. It belongs to one
// goroutine.
type DeletionWriter interface {
	Add(typ, id string) error
	// Commit closes the file and makes it durable; its rows are the deletions
	// added.
	Commit() (File, error)
	// Abort drops the file. It does nothing after Commit.
	Abort() error
}
