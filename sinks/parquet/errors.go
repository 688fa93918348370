package parquet

import "fmt"

// ConfigError is a field of the Sink that makes no sense.
type ConfigError struct {
	Field string // as in a job's configuration
	Text  string
}

func (e *ConfigError) Error() string { return "parquet: " + e.Field + " " + e.Text }

// Class decides the exit code.
func (e *ConfigError) Class() string { return "usage" }

// TypeError is a type that FHIR R4 does not define.
type TypeError struct{}

func (e *TypeError) Error() string { return "parquet: not an R4 resource type" }

// Class decides the exit code.
func (e *TypeError) Class() string { return "usage" }

// Hint says what to do.
func (e *TypeError) Hint() string {
	return "Parquet follows the definitions of FHIR R4; leave the type out of the job or write it as NDJSON only."
}

// UnmappedError says that values have no column and that the job does not allow
// it.
type UnmappedError struct {
	Type  string
	Count int64
}

func (e *UnmappedError) Error() string {
	return fmt.Sprintf("parquet: %d values of %s have no column", e.Count, e.Type)
}

// Class decides the exit code.
func (e *UnmappedError) Class() string { return "quality" }

// Hint says what to do.
func (e *UnmappedError) Hint() string {
	return "Set unmapped: keep to publish them in the column __unmapped, where each stands under its JSON Pointer."
}

// LineError is a published line that cannot be converted. It holds no content.
type LineError struct {
	Part   int   // number of the part, from 0
	Offset int64 // of the line's first byte in the part
	Err    error
}

func (e *LineError) Error() string {
	return fmt.Sprintf("part %d, line at byte %d: %v", e.Part, e.Offset, e.Err)
}

func (e *LineError) Unwrap() error { return e.Err }
