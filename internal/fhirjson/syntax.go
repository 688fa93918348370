package fhirjson

import "fmt"

// SyntaxError says why a line is not JSON that two readers would agree on. Its
// text never holds content of the line.
type SyntaxError struct {
	Offset int64  // byte offset within the line
	Reason string // "invalid UTF-8", "duplicate member name", …
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d of the line: %s", e.Offset, e.Reason)
}

// The reasons of a SyntaxError.
const (
	reasonEnd       = "unexpected end"
	reasonObject    = "not a JSON object"
	reasonName      = "expected a member name"
	reasonColon     = "expected a colon"
	reasonComma     = "expected a comma or a closing bracket"
	reasonValue     = "expected a value"
	reasonNumber    = "invalid number"
	reasonEscape    = "invalid escape in a string"
	reasonControl   = "control character in a string"
	reasonUTF8      = "invalid UTF-8"
	reasonSurrogate = "lone surrogate in a member name"
	reasonDuplicate = "duplicate member name"
	reasonNesting   = "nested too deeply"
	reasonTrailing  = "text after the resource"
)
