package smart

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestP14EachErrorHasItsOwnMessageAndHint(t *testing.T) {
	body := func(code, description string) *http.Response {
		return respond(400, `{"error":"`+code+`","error_description":"`+description+`"}`)
	}
	for _, c := range []struct {
		name          string
		answer        func() *http.Response
		message, hint string
	}{
		{"invalid_client", func() *http.Response { return body("invalid_client", "nope") }, `status 400 invalid_client: "nope"`, `kid "ec" (ES384)`},
		{"wrong aud", func() *http.Response { return body("invalid_grant", "invalid aud claim") }, "invalid_grant", "another audience than " + tokenURL},
		{"unregistered kid", func() *http.Response { return body("invalid_grant", "No public keys found with kid xyz") }, "invalid_grant", `Register the public key with kid \"ec\"`},
		{"signature", func() *http.Response { return body("invalid_client", "signature mismatch") }, "", "Register the public key"},
		{"jti", func() *http.Response { return body("invalid_client", "jti was used before") }, "", "proxy repeats"},
		{"expired", func() *http.Response { return body("invalid_grant", "assertion expired") }, "", "clock (NTP)"},
		{"iss", func() *http.Response { return body("invalid_client", "bad iss") }, "", "Check the client id"},
		{"unauthorized_client", func() *http.Response { return body("unauthorized_client", "") }, "unauthorized_client", "client_credentials grant"},
		{"invalid_scope", func() *http.Response { return body("invalid_scope", "") }, "invalid_scope", "Asked for were: system/Patient.rs."},
		{"unsupported_grant_type", func() *http.Response { return body("unsupported_grant_type", "") }, "", "backend services"},
		{"invalid_request", func() *http.Response { return body("invalid_request", "") }, "invalid_request", "Check the client id"},
		{"login page", func() *http.Response {
			return respond(200, "<!doctype HTML><title>Sign in", "Content-Type", "text/html; charset=utf-8")
		}, "web page instead of JSON", "login page"},
		{"login page, 403", func() *http.Response { return respond(403, "<html>") }, "status 403", "login page"},
		{"plain http to https", func() *http.Response {
			return respond(400, "Client sent an HTTP request to an HTTPS server.\n", "Content-Type", "text/plain")
		}, "status 400", "use https"},
		{"404", func() *http.Response { return respond(404, "") }, "status 404", "no token endpoint at that URL"},
		{"405", func() *http.Response { return respond(405, "") }, "status 405", "no token endpoint at that URL"},
		{"503", func() *http.Response { return respond(503, "") }, "status 503", "Run again later"},
		{"JSON of another kind", func() *http.Response { return respond(200, `{"resourceType":"Patient"}`) }, "no access_token", "not one of RFC 6749"},
		{"error as an object", func() *http.Response { return respond(400, `{"error":{"code":"x"}}`) }, "unknown_error", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := &endpoint{t: t, answer: func(int, call) *http.Response { return c.answer() }}
				_, err := newClient(e).Token(t.Context())
				got, ok := err.(*Error)
				if !ok {
					t.Fatalf("got %v", err)
				}
				if !strings.Contains(got.Error(), c.message) {
					t.Errorf("message: got %q, want %q in it", got, c.message)
				}
				if want := strings.ReplaceAll(c.hint, `\"`, `"`); !strings.Contains(got.Hint(), want) {
					t.Errorf("hint: got %q, want %q in it", got.Hint(), want)
				}
			})
		})
	}
}

// A difference of clocks does not hide what the server says, and clients with a secret, who
// sign nothing, hear nothing of it.
func TestF1ADifferenceOfClocksIsNotTheOnlyHint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &endpoint{t: t, answer: func(int, call) *http.Response {
			return respond(401, `{"error":"invalid_client","error_description":"No public key found with that kid"}`,
				"Date", time.Now().Add(30*time.Second).UTC().Format(http.TimeFormat))
		}}
		_, err := newClient(e).Token(t.Context())
		wantError(t, err, "auth", "invalid_client", `Register the public key with kid "ec"`)
		wantError(t, err, "auth", "", "server's clock is 30s ahead of this machine's")

		e = &endpoint{t: t, answer: e.answer}
		c := newClient(e)
		c.Keys, c.Secret = nil, "hunter2"
		_, err = c.Token(t.Context())
		got := wantError(t, err, "auth", "invalid_client", "Check client id and secret")
		if got.Skew != 0 || strings.Contains(got.Hint(), "clock") || e.count() != 1 {
			t.Errorf("got skew %v, %q after %d requests", got.Skew, got.Hint(), e.count())
		}
	})
}

// I6: a server that repeats the secret, as it is or as it was sent, where the error's code or
// description should be.
func TestI6SecretInTheServersAnswer(t *testing.T) {
	const secret = "hunter2/+ä"
	for _, inBody := range []bool{false, true} {
		for _, form := range []string{secret, url.QueryEscape(secret), base64.StdEncoding.EncodeToString([]byte("my-client:" + url.QueryEscape(secret)))} {
			for _, body := range []map[string]string{
				{"error": "bad secret " + form}, {"error": "invalid_client", "error_description": "bad secret " + form},
			} {
				if inBody && form != secret && form != url.QueryEscape(secret) {
					continue // never sent
				}
				for _, status := range []int{200, 400} {
					e := &endpoint{t: t, answer: func(int, call) *http.Response { return respond(status, string(must(json.Marshal(body)))) }}
					c := newClient(e)
					c.Keys, c.Secret, c.SecretInBody = nil, secret, inBody
					_, err := c.Token(t.Context())
					got := wantError(t, err, "auth", "bad secret [secret]", "")
					if strings.Contains(got.Error()+got.Hint()+got.Code, form) {
						t.Errorf("status %d, in the body %v: %v", status, inBody, got)
					}
				}
			}
		}
	}
}

func TestP14CodeDescriptionAndStatusAreKept(t *testing.T) {
	e := &endpoint{t: t, answer: func(int, call) *http.Response {
		return respond(418, `{"error":"invalid_scope","error_description":"a\r\nb\u0000c"}`)
	}}
	_, err := newClient(e).Token(t.Context())
	got := wantError(t, err, "auth", "418", "")
	if got.Status != 418 || got.Code != "invalid_scope" || got.Description != "a b c" {
		t.Errorf("got %d, %q, %q", got.Status, got.Code, got.Description)
	}
}

func TestCleanKeepsSecretsOut(t *testing.T) {
	long := strings.Repeat("Ab1_", 20)
	for _, c := range []struct{ in, want string }{
		{"plain text", "plain text"},
		{"the hunter2 word", "the [secret] word"},
		{"token " + long, "token [secret]"},
		{"jwt=eyJhbGciOi.eyJpc3Mi.c2ln!", "jwt=[secret]!"},
		{"see https://x.example/a/b?code=5&d=6", "see https://x.example/a/b?[secret]"},
		{"kid NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs", "kid NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{"a\u202eb\x1b[31m", "ab [31m"},
		{"\xff\xfe", ""},
		{strings.Repeat("ä ", 150), strings.Repeat("ä ", 66) + "ä…"},
	} {
		got := clean(c.in, "hunter2", "")
		if strings.Contains(c.want, "…") {
			if len(got) > maxDescription+len("…") || !strings.HasSuffix(got, "…") {
				t.Errorf("got %d bytes %q", len(got), got)
			}
			continue
		}
		if got != c.want {
			t.Errorf("clean(%q): got %q, want %q", c.in, got, c.want)
		}
	}
}
