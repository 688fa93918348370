package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/smart"
)

func (a *app) getCommand() *cobra.Command {
	var o serverFlags
	var accept string
	var asJSON bool
	c := &cobra.Command{
		Use:     "get PATH [SERVER]",
		Short:   "Send one authenticated FHIR request and print the answer",
		GroupID: "setup",
		Long: `Send a GET to a FHIR server with an access token and write the body to stdout as it
comes, decompressed and otherwise as sent, also that of an error. PATH is below the base
URL ("Patient?_count=5", "metadata"); a whole URL is taken where it is of the server's
own origin or of one that the configuration allows. The token goes to no other, by
redirect neither.

Exit codes: 0 for a 2xx answer, 3 for 401 and 403, 4 for another refusal, 1 for what may
pass by itself (429, 5xx, the network).`,
		Example: `  flue get metadata hospital | jq .software
  flue get 'Patient?_count=5' hospital
  flue get Group -H 'Epic-Client-ID: env:EPIC_CLIENT' --url https://ehr.example.org/fhir --client-id my-client --key private_key.pem`,
		Args:              between(1, 2, "PATH", "SERVER"),
		ValidArgsFunction: a.completeServersSecond,
		RunE: func(c *cobra.Command, args []string) error {
			t, err := a.target(c, &o, firstArg(args[1:]))
			if err != nil {
				return err
			}
			if t.server.URL == "" {
				return &usageError{message: "--url is missing", hint: "give the FHIR base URL"}
			}
			conn, err := a.connect(t.file, t.server, t.scopes, a.logger())
			if err != nil {
				return err
			}
			defer conn.close()
			u, err := requestURL(conn.base, t.server.Origins, args[0])
			if err != nil {
				return err
			}
			return a.get(c.Context(), conn, u, accept, asJSON)
		},
	}
	o.requesting(a, c)
	f := c.Flags()
	f.StringVar(&accept, "accept", "application/fhir+json", "media type to ask for")
	f.BoolVar(&asJSON, "json", false, "say on stderr what was answered, as one JSON object")
	return c
}

// requestURL is the URL of a request to a FHIR server: a path below its base, or
// a whole URL of an origin that may get the token (P15).
func requestURL(base *url.URL, origins []string, path string) (*url.URL, error) {
	u, err := url.Parse(path)
	if err != nil {
		return nil, &usageError{message: "PATH cannot be read as a URL", hint: "quote it for the shell, and percent-encode what is not part of its syntax"}
	}
	if u.Scheme == "" && u.Host == "" && u.User == nil {
		below := *base
		if below.Path == "" {
			below.Path = "/" // a server at the root of its host
		}
		joined := below.JoinPath(strings.TrimLeft(u.EscapedPath(), "/"))
		if !within(base, joined) {
			return nil, &usageError{message: "PATH leads out of the base URL", hint: "give it without '..'"}
		}
		below.Path, below.RawPath, below.RawQuery = joined.Path, joined.RawPath, u.RawQuery
		return &below, nil
	}
	if u.Scheme == "" && u.Host != "" {
		u.Scheme = base.Scheme
	}
	allowed := []smart.Origin{smart.OriginOf(base)}
	for _, text := range origins {
		if o, err := smart.ParseOrigin(text); err == nil {
			allowed = append(allowed, o)
		}
	}
	if o := smart.OriginOf(u); u.User != nil || o == "" || !slices.Contains(allowed, o) {
		return nil, &usageError{
			message: "PATH is a URL of another origin than the server's, which must not get its token",
			hint:    "the server is at " + string(allowed[0]) + "; an origin that may get the token is named under origins, or by --origin",
		}
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// within reports whether u is the base or below it, however a server reads dots that
// are percent-encoded.
func within(base, u *url.URL) bool {
	if slices.Contains(strings.Split(u.Path, "/"), "..") {
		return false
	}
	root := strings.TrimRight(base.Path, "/")
	return strings.TrimRight(u.Path, "/") == root || strings.HasPrefix(u.Path, root+"/")
}

// get sends the request and copies the body to stdout.
func (a *app) get(ctx context.Context, conn *connection, u *url.URL, accept string, asJSON bool) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return &usageError{message: "PATH makes no request"}
	}
	req.Header.Set("Accept", accept)
	req.Header.Set("Accept-Encoding", "gzip")
	client := *conn.authenticated
	client.CheckRedirect = redirect
	resp, err := client.Do(req)
	if err != nil {
		return unanswered(ctx, "get", u, err)
	}
	defer resp.Body.Close()
	var start prefix
	n, err := copyBody(io.MultiWriter(a.sys.Stdout, &start), resp)
	if asJSON {
		slog.New(slog.NewJSONHandler(a.sys.Stderr, nil)).Info("answer",
			"status", resp.StatusCode, "contentType", resp.Header.Get("Content-Type"), "bytes", n,
			"origin", string(smart.OriginOf(resp.Request.URL)))
	}
	if err != nil {
		return requestError(ctx, "read answer", resp.Request.URL, err)
	}
	if resp.StatusCode/100 != 2 {
		return &statusError{status: resp.StatusCode, origin: smart.OriginOf(resp.Request.URL), retryAfter: resp.Header.Get("Retry-After"), open: conn.auth == nil, plain: smart.WantsTLS(resp.StatusCode, start)}
	}
	return nil
}

// redirect lets a request go elsewhere, where the token does not follow it (F42),
// but never from https to http. The Referer would show the query to the other side.
func redirect(req *http.Request, via []*http.Request) error {
	req.Header.Del("Referer")
	switch {
	case len(via) >= 10:
		return &redirectError{"more than ten redirects"}
	case via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https":
		return &redirectError{"a redirect from https to http"}
	}
	return nil
}

type redirectError struct{ message string }

func (e *redirectError) Error() string { return e.message }
func (e *redirectError) Class() string { return "server" }
func (e *redirectError) Hint() string {
	return "the server's base address setting is wrong: ask its operators"
}

// copyBody writes a body as it was before its transfer was compressed; n counts
// what was written.
func copyBody(w io.Writer, resp *http.Response) (n int64, err error) {
	var body io.Reader = resp.Body
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		// An empty body, as of a 204, is no gzip stream.
		one := make([]byte, 1)
		if _, err := io.ReadFull(resp.Body, one); err == io.EOF {
			return 0, nil
		} else if err != nil {
			return 0, err
		}
		zip, err := gzip.NewReader(io.MultiReader(bytes.NewReader(one), resp.Body))
		if err != nil {
			return 0, fmt.Errorf("decompress: %w", err)
		}
		defer zip.Close()
		body = zip
	}
	return io.Copy(w, body)
}

// requestError says what went wrong without the URL, whose path and query may
// name a patient (I7).
func requestError(ctx context.Context, doing string, u *url.URL, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	return fmt.Errorf("%s from %s: %w", doing, smart.OriginOf(u), err)
}

// unanswered is requestError for a request that got no answer.
func unanswered(ctx context.Context, doing string, u *url.URL, err error) error {
	e := requestError(ctx, doing, u, err)
	if ctx.Err() != nil || hintOf(e) != "" {
		return e
	}
	return &hintedError{message: e.Error(), hint: smart.NetworkHint(err)}
}

// prefix keeps the first bytes of what is written to it.
type prefix []byte

func (p *prefix) Write(b []byte) (int, error) {
	const enough = 4 << 10
	*p = append(*p, b[:min(len(b), enough-len(*p))]...)
	return len(b), nil
}

// statusError is an answer other than 2xx.
type statusError struct {
	status     int
	origin     smart.Origin
	retryAfter string
	open       bool // no token was asked for
	plain      bool // plain http to a TLS port
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", e.origin, e.status, http.StatusText(e.status))
}

func (e *statusError) Class() string {
	switch {
	case e.status == http.StatusUnauthorized || e.status == http.StatusForbidden:
		return "auth"
	case e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout || e.status >= 500:
		return ""
	}
	return "server"
}

func (e *statusError) Hint() string {
	switch {
	case e.plain:
		return "the server wants https at that port: use https in the URL"
	case e.status == http.StatusUnauthorized && e.open:
		return "the server wants a token, or another than the one given: see docs/authentication.md"
	case e.status == http.StatusUnauthorized:
		return "the token does not suffice: see 'flue token'"
	case e.status == http.StatusForbidden:
		return "the client may not read this: compare the scopes granted with 'flue token'"
	case e.status == http.StatusTooManyRequests || e.status == http.StatusServiceUnavailable:
		if _, err := strconv.Atoi(e.retryAfter); err == nil {
			return "the server asks to wait " + e.retryAfter + " s"
		}
		return "wait, and try again"
	}
	return ""
}

// between demands the first low of the named arguments and allows the rest.
func between(low, high int, names ...string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < low:
			return &usageError{message: "argument " + names[len(args)] + " is missing", hint: "usage: " + c.UseLine()}
		case len(args) > high:
			return &usageError{message: "too many arguments", hint: "usage: " + c.UseLine()}
		}
		return nil
	}
}

// completeServersSecond offers server names as the second argument.
func (a *app) completeServersSecond(c *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	if len(args) != 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return a.completeServers(c, nil, toComplete)
}
