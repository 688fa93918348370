package export

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// maxPages bounds the linked manifests of one export (P29).
const maxPages = 10_000

// wireManifest is a manifest as servers send it: what they get wrong without
// harm is read leniently, what would lose a file is not.
type wireManifest struct {
	ResourceType        jsontext.Value `json:"resourceType"`
	TransactionTime     jsontext.Value `json:"transactionTime"`
	Request             jsontext.Value `json:"request"`
	RequiresAccessToken jsontext.Value `json:"requiresAccessToken"`
	OutputOrganizedBy   jsontext.Value `json:"outputOrganizedBy"`
	Output              []wireFile     `json:"output"`
	Error               []wireFile     `json:"error"`
	Outcome             []wireFile     `json:"outcome"` // STU4
	Deleted             []wireFile     `json:"deleted"`
	Link                jsontext.Value `json:"link"`
	Extension           jsontext.Value `json:"extension"`
}

type wireFile struct {
	Type            jsontext.Value `json:"type"`
	URL             jsontext.Value `json:"url"`
	Count           jsontext.Value `json:"count"`
	Size            jsontext.Value `json:"fileSize"` // STU4
	ContinuesInFile jsontext.Value `json:"continuesInFile"`
}

type wireLink struct {
	Relation string `json:"relation"`
	URL      string `json:"url"`
}

// parseManifest reads one manifest. It is strict where leniency loses files: a
// member that occurs twice, or a list that is none, is an error.
func parseManifest(body []byte) (*wireManifest, error) {
	bad := func(reason string) (*wireManifest, error) {
		return nil, &ProtocolError{Op: "manifest", Reason: reason}
	}
	if fhirhttp.HTML(body) {
		return nil, &fhirhttp.TransportError{Op: "manifest", Text: "the answer is HTML or XML, not a manifest", Err: fhirhttp.Page{}} // F21
	}
	m := &wireManifest{}
	if err := jsonv2.Unmarshal(body, m); err != nil {
		var syntax *jsontext.SyntacticError
		if errors.As(err, &syntax) {
			return bad("the answer is not JSON, or a member occurs twice in it, at byte " + strconv.FormatInt(syntax.ByteOffset, 10))
		}
		return bad("a member is of the wrong kind")
	}
	switch str(m.ResourceType) {
	case "Bundle", "Parameters", "CapabilityStatement", "OperationOutcome":
		return bad("the answer is a FHIR resource, not a manifest")
	}
	if m.Output == nil && m.TransactionTime == nil {
		return bad("the answer has neither output nor transactionTime")
	}
	return m, nil
}

// manifest gathers a manifest and those that it links to (P29). A partial one
// stops without error at the first link that does not work.
func (c *Client) manifest(ctx context.Context, first *wireManifest, from *url.URL, partial bool) (*Manifest, error) {
	b := newBuilder(c.policy())
	if err := b.add(first, from); err != nil {
		return nil, err
	}
	visited := map[string]bool{from.String(): true}
	for page := 1; len(b.next) > 0; page++ {
		u := b.next[0]
		b.next = b.next[1:]
		if visited[u.String()] {
			return nil, &ProtocolError{Op: "manifest", Reason: "its next links run in a circle"}
		}
		if page >= maxPages {
			return nil, &ProtocolError{Op: "manifest", Reason: "it has more than " + strconv.Itoa(maxPages) + " linked manifests"}
		}
		visited[u.String()] = true
		wire, at, err := c.linked(ctx, u, partial)
		if partial && err != nil {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := b.add(wire, at); err != nil {
			return nil, err
		}
	}
	return b.done(), nil
}

// linked fetches a manifest that another one names as next. While it is not
// ready (202), it is asked again, unless once is set: then it may be partial.
func (c *Client) linked(ctx context.Context, u *url.URL, once bool) (wire *wireManifest, at *url.URL, err error) {
	req := c.requests(c.HTTP)
	for n := 0; ; n++ {
		pending, after := false, ""
		err = req.Do(ctx, fhirhttp.Call{
			Op: "manifest", URL: u, Accept: "application/json", Once: once, NotFound: 2,
			Handle: func(resp *http.Response) error {
				after = resp.Header.Get("Retry-After")
				// What a partial manifest links to may be partial as well.
				pending = resp.StatusCode == http.StatusAccepted && !once
				body, err := fhirhttp.ReadAll("manifest", resp, maxManifest)
				if err != nil || pending {
					return err
				}
				if issues, ok := fhirhttp.ParseOutcome(body); ok {
					return &fhirhttp.StatusError{Op: "manifest", Status: resp.StatusCode, Issues: issues}
				}
				at = resp.Request.URL
				wire, err = parseManifest(body)
				return err
			},
		})
		if err != nil || !pending {
			return wire, at, err
		}
		wait := req.Wait(n, after)
		req.Retrying("manifest", "202", wait)
		if err := fhirhttp.Sleep(ctx, wait); err != nil {
			return nil, nil, err
		}
	}
}

// builder makes one Manifest of linked ones.
type builder struct {
	policy  fhirhttp.Policy
	m       Manifest
	pages   int
	rawTime string
	next    []*url.URL
	lists   [3]list // output, error, deleted
	notes   map[string]int64
	order   []string
}

// list is one list of files over all pages.
type list struct {
	files   []File
	byURL   map[string]int // index in files
	entries int            // seen so far, repeated ones included: the next Ordinal
}

const (
	outputs = iota
	outcomes
	deletions
)

func newBuilder(p fhirhttp.Policy) *builder {
	b := &builder{policy: p, notes: map[string]int64{}}
	for i := range b.lists {
		b.lists[i].byURL = map[string]int{}
	}
	return b
}

func (b *builder) note(text string) {
	if b.notes[text] == 0 {
		b.order = append(b.order, text)
	}
	b.notes[text]++
}

func (b *builder) add(w *wireManifest, from *url.URL) error {
	raw := str(w.TransactionTime)
	t, ok := parseInstant(raw)
	if b.pages == 0 {
		b.rawTime, b.m.TransactionTime = raw, t
		if !ok {
			b.note("the manifest has no readable transactionTime")
		}
		b.m.asked = str(w.Request)
		b.m.Request = requestNames(b.m.asked)
		b.m.OutputOrganizedBy, _ = typeName(str(w.OutputOrganizedBy))
		if len(w.Extension) > 0 {
			b.m.Extension = json.RawMessage(w.Extension)
		}
	} else if raw != b.rawTime && !(ok && t.Equal(b.m.TransactionTime)) {
		return &ProtocolError{Op: "manifest", Reason: "a linked manifest has another transactionTime: it is of another export"}
	}
	if w.Output == nil {
		b.m.Unlisted = true
		b.note("the manifest has no output list")
	}
	token, err := b.token(w.RequiresAccessToken)
	if err != nil {
		return err
	}
	if b.pages == 0 {
		b.m.RequiresAccessToken = token
	}
	for _, l := range []struct {
		to    int
		files []wireFile
	}{{outputs, w.Output}, {outcomes, w.Error}, {outcomes, w.Outcome}, {deletions, w.Deleted}} {
		for _, f := range l.files {
			if err := b.file(l.to, f, from, token); err != nil {
				return err
			}
		}
	}
	b.pages++
	b.m.Pages = append(b.m.Pages, Page{Output: len(w.Output), Error: len(w.Error) + len(w.Outcome), Deleted: len(w.Deleted)})
	return b.links(w.Link, from)
}

// token reads requiresAccessToken. Where it is missing, the token is sent, as far
// as the transport sends it at all: only to allowed origins.
func (b *builder) token(v jsontext.Value) (bool, error) {
	switch strings.Trim(strings.TrimSpace(string(v)), `"`) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "", "null":
		b.note("the manifest does not say whether files need the token")
		return true, nil
	}
	return false, &ProtocolError{Op: "manifest", Reason: "requiresAccessToken is neither true nor false"}
}

func (b *builder) file(to int, w wireFile, from *url.URL, token bool) error {
	l := &b.lists[to]
	ordinal := l.entries
	l.entries++
	u, upgraded, err := b.policy.Resolve(from, str(w.URL)) // F28, F32
	if err != nil {
		return &ProtocolError{Op: "manifest", Reason: "a file's " + err.Error(), err: err}
	}
	if upgraded {
		b.note("file URLs were plain http: they are fetched over https")
	}
	f := File{URL: u.String(), Count: count(w.Count), Size: count(w.Size), Ordinal: ordinal, Token: token}
	var ok bool
	if f.Type, ok = typeName(str(w.Type)); !ok {
		b.note("a file's type is no name of a type: its lines say what they are")
	}
	if s := str(w.ContinuesInFile); s != "" {
		if cu, _, err := b.policy.Resolve(from, s); err == nil {
			f.ContinuesIn = cu.String()
		}
	}
	i, dup := l.byURL[f.URL]
	if !dup {
		l.byURL[f.URL] = len(l.files)
		l.files = append(l.files, f)
		return nil
	}
	// F27: fetched once. Linked manifests repeat the error list by rule.
	if to != outcomes || b.pages == 0 {
		b.note("a file is listed more than once: it is fetched once")
	}
	switch first := &l.files[i]; {
	case first.Type != f.Type:
		first.Type = "" // a file of several types, listed under each: F30
		if first.Count >= 0 && f.Count >= 0 {
			first.Count += f.Count
		} else {
			first.Count = -1
		}
	case first.Count != f.Count:
		first.Count = -1
	}
	return nil
}

func (b *builder) links(v jsontext.Value, from *url.URL) error {
	if len(v) == 0 || string(v) == "null" {
		return nil
	}
	var links []wireLink
	if v.Kind() == '{' {
		links = make([]wireLink, 1)
		if jsonv2.Unmarshal(v, &links[0]) != nil {
			return &ProtocolError{Op: "manifest", Reason: "link is of the wrong kind"}
		}
	} else if jsonv2.Unmarshal(v, &links) != nil {
		return &ProtocolError{Op: "manifest", Reason: "link is of the wrong kind"}
	}
	for _, l := range links {
		if l.Relation != "next" {
			continue
		}
		u, _, err := b.policy.Resolve(from, l.URL)
		if err != nil {
			return &ProtocolError{Op: "manifest", Reason: "next link: " + err.Error(), err: err}
		}
		b.next = append(b.next, u)
	}
	return nil
}

func (b *builder) done() *Manifest {
	b.m.Output, b.m.Error, b.m.Deleted = b.lists[outputs].files, b.lists[outcomes].files, b.lists[deletions].files
	for _, text := range b.order {
		if n := b.notes[text]; n > 1 {
			text += " (" + strconv.FormatInt(n, 10) + " times)"
		}
		b.m.Warnings = append(b.m.Warnings, text)
	}
	return &b.m
}

// str is the text of a JSON string; anything else is "".
func str(v jsontext.Value) string {
	if len(v) == 0 || v.Kind() != '"' {
		return ""
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return ""
	}
	return string(b)
}

// count reads a number, also one in quotes; -1 when there is none.
func count(v jsontext.Value) int64 {
	n, err := strconv.ParseInt(strings.Trim(string(v), `" `), 10, 64)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

// typeName lets through what can be the name of a resource type, known or not
// (F29); anything else never gets near a file name (F32).
func typeName(s string) (name string, ok bool) {
	if len(s) > 64 {
		return "", false
	}
	for i, r := range s {
		letter := r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return "", false
		}
	}
	return s, true
}

// requestNames is a request's URL with the names of its parameters and without
// their values.
func requestNames(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return ""
	}
	names, seen := []string{}, map[string]bool{}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if n, err := url.QueryUnescape(name); err == nil && n != "" && len(n) <= 64 && !seen[n] {
			seen[n] = true
			names = append(names, n)
		}
	}
	out := u.Scheme + "://" + u.Host + u.EscapedPath()
	if len(names) > 0 {
		out += "?" + strings.Join(names, "&")
	}
	return out
}

// parseInstant reads an instant, and the forms that servers take for one: no
// colon in the zone, or no zone at all, which is then UTC.
func parseInstant(s string) (time.Time, bool) {
	for _, layout := range []string{
		time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700", "2006-01-02T15:04:05.999999999", "2006-01-02",
	} {
		if t, err := time.Parse(layout, strings.TrimSpace(s)); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
