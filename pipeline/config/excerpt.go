package config

import (
	"fmt"
	"regexp"
	"strings"
)

// The parts of a source line that an excerpt does not repeat: what follows a key
// that holds a secret or patients, the user info of a URL, and anything long
// enough to be key material.
var (
	secretKey = regexp.MustCompile(`(?:^|[\s{,])["']?(?:key|secret|token|patients|[A-Za-z0-9-]*(?i:authorization|token|secret|api-?key)[A-Za-z0-9-]*)["']?\s*:\s+`)
	reference = regexp.MustCompile(`^(["']?(env:|file:)|\$\{[A-Za-z_][A-Za-z0-9_]*\}|\[\s*$|[|>][-+0-9]*\s*$|$)`)
	userInfo  = regexp.MustCompile(`//[^/@\s]+@`)
	query     = regexp.MustCompile(`(https?://[^\s"'?#]*[?#])[^\s"']+`)
	material  = regexp.MustCompile(`[A-Za-z0-9+/=_-]{40,}`)
	control   = regexp.MustCompile(`[\x00-\x08\x0b-\x1f\x7f]`)
)

// excerpt shows a line with a caret below a column (from 1). Where mask is set,
// the line's text from the column on is not shown.
func excerpt(line string, number, column int, mask bool) string {
	text := []rune(strings.TrimRight(line, "\r"))
	at := min(max(column-1, 0), len(text))
	shown := string(text)
	if mask {
		shown = string(text[:at]) + "…"
	}
	shown = maskSecrets(shown)
	shown = strings.ReplaceAll(control.ReplaceAllString(shown, "·"), "\t", " ")
	const limit = 160
	if cut := []rune(shown); len(cut) > limit {
		shown = string(cut[:limit]) + "…"
	}
	at = min(at, limit, len([]rune(shown)))
	head := fmt.Sprintf("%4d | ", number)
	return head + shown + "\n" + strings.Repeat(" ", len(head)-2) + "| " + strings.Repeat(" ", at) + "^"
}

func maskSecrets(line string) string {
	for _, m := range secretKey.FindAllStringIndex(line, -1) {
		if !reference.MatchString(line[m[1]:]) {
			line = line[:m[1]] + "…"
			break
		}
	}
	line = query.ReplaceAllString(line, "$1…")
	return material.ReplaceAllString(userInfo.ReplaceAllString(line, "//…@"), "…")
}
