package cli

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// resolveSecret follows a reference of the configuration: env:NAME, file:PATH, or
// the text itself. what names the key for messages.
func (a *app) resolveSecret(what, ref string) ([]byte, error) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		value, set := a.sys.LookupEnv(name)
		if !set || value == "" {
			return nil, &usageError{message: fmt.Sprintf("%s: environment variable %s is not set", what, name), hint: "set it, or name another place in the configuration"}
		}
		return []byte(value), nil
	}
	path, ok := strings.CutPrefix(ref, "file:")
	if !ok {
		return []byte(ref), nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, &usageError{message: what, err: err, hint: "check the path in the configuration and the file's permissions"}
	}
	data = bytes.TrimRight(data, "\r\n")
	if len(data) == 0 {
		return nil, &usageError{message: fmt.Sprintf("%s: file %s is empty", what, path)}
	}
	return data, nil
}
