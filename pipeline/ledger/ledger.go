// Package ledger is the durable record of runs and tasks: a SQLite database on
// a local disk. It caches what the published manifests say and is never the only
// place where something that cannot be asked for again is kept, but for one: the
// status URL of an export in progress (I4).
package ledger

// Ledger is an open ledger.
type Ledger struct{}
