package smart

import (
	"fmt"
	"log/slog"
)

// Secret is a string that fmt, log/slog and encoding/json print as "[secret]".
// string(s) is the way to its value.
type Secret string

const redacted = "[secret]"

// Format implements [fmt.Formatter]: every verb prints "[secret]".
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// LogValue implements [slog.LogValuer].
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText implements [encoding.TextMarshaler].
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
