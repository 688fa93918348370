package smart

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// tokenResponse is what a token endpoint answers, success (RFC 6749 5.1) or error
// (5.2). Values are kept raw: servers differ in their types (P12, F5).
type tokenResponse struct {
	AccessToken rawValue `json:"access_token"`
	TokenType   rawValue `json:"token_type"`
	ExpiresIn   rawValue `json:"expires_in"`
	Scope       rawValue `json:"scope"`
	ErrorCode   rawValue `json:"error"`
	Description rawValue `json:"error_description"`
}

func parseTokenResponse(data []byte) (*tokenResponse, error) {
	var r tokenResponse
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, jsonCause(err)
	}
	return &r, nil
}

// rawValue is any JSON value; absent and null are empty.
type rawValue string

// UnmarshalJSON implements json.Unmarshaler.
func (v *rawValue) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		data = nil
	}
	*v = rawValue(data)
	return nil
}

// text is the value of a string; "" for anything else.
func (v rawValue) text() string {
	var s string
	if v == "" || json.Unmarshal([]byte(v), &s) != nil {
		return ""
	}
	return s
}

// errorCode is the error, without the secrets that were sent.
func (r *tokenResponse) errorCode(secrets []string) string {
	code := r.ErrorCode.text()
	if code == "" && r.ErrorCode != "" {
		return "unknown_error" // an object or a number: an error all the same
	}
	return clean(code, secrets...)
}

// token makes the Token. Its life is counted from when it was asked for, which is before
// it was issued; warnings are about what the server left out.
func (r *tokenResponse) token(sent, received time.Time) (*Token, []string, error) {
	access := r.AccessToken.text()
	switch kind := r.TokenType.text(); {
	case access == "":
		return nil, nil, errText("the answer has no access_token")
	case !validBearer(access):
		return nil, nil, errText("the access_token has characters that a header cannot carry")
	case !strings.EqualFold(kind, "bearer") && r.TokenType != "":
		return nil, nil, errText("the token_type is not bearer")
	}
	var warnings []string
	if r.TokenType == "" {
		warnings = append(warnings, "the token endpoint did not name the token_type; bearer is assumed")
	}
	lifetime, ok := r.lifetime()
	if !ok {
		lifetime = defaultLifetime
		warnings = append(warnings, "the token endpoint did not say how long the token lives; 5 minutes are assumed")
	}
	return &Token{
		AccessToken: Secret(access),
		Expiry:      sent.Add(lifetime),
		Scopes:      r.scopes(),
		renew:       later(sent.Add(useFor(lifetime)), received.Add(minUse)),
	}, warnings, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// maxLifetime bounds expires_in, so that no arithmetic overflows.
const maxLifetime = 10 * 365 * 24 * time.Hour

// lifetime reads expires_in as a number or as a string (F5).
func (r *tokenResponse) lifetime() (time.Duration, bool) {
	text := string(r.ExpiresIn)
	if s := r.ExpiresIn.text(); s != "" {
		text = strings.TrimSpace(s)
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(seconds) || seconds <= 0 {
		return 0, false
	}
	if seconds >= maxLifetime.Seconds() {
		return maxLifetime, true
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// scopes are those granted: nil when the server did not say, empty when it granted
// none (P16). A JSON array is read too.
func (r *tokenResponse) scopes() []string {
	if r.Scope == "" {
		return nil
	}
	var list []string
	if json.Unmarshal([]byte(r.Scope), &list) == nil {
		return append([]string{}, strings.Fields(strings.Join(list, " "))...)
	}
	return append([]string{}, strings.Fields(r.Scope.text())...)
}
