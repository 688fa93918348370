package export

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// AdoptURL checks the status URL of an export that something else started and
// returns it as it is to be kept. Beside what is asked of every URL that a server
// sends (F32), it must lie at the server's own origin or at one of the others: the
// token goes nowhere else (P15). No error holds the URL.
func (c *Client) AdoptURL(raw string, origins []string) (string, error) {
	u, err := c.statusURL("adopt export", raw)
	if err != nil {
		return "", err
	}
	if fhirhttp.SameOrigin(u, c.Base) {
		return u.String(), nil
	}
	for _, o := range origins {
		if other, err := url.Parse(o); err == nil && fhirhttp.SameOrigin(u, other) {
			return u.String(), nil
		}
	}
	return "", &ProtocolError{Op: "adopt export", Reason: "the status URL is neither at the server nor at one of its origins"}
}

// Comparison is what the manifest of an export tells of how it was asked for.
type Comparison struct {
	// Known says that the manifest repeats the parameters, asked for at the base URL.
	// The URL of a POST has none, and some servers leave them out; one with another base
	// is of another tenant, or came through a proxy that rewrites it.
	Known bool
	// Differs names what is other than in the request compared with: "level",
	// "group" or parameters; never values (I7).
	Differs []string
	Since   time.Time // the _since of the export; zero: everything
}

// Compare holds the request that the manifest repeats against another one of the
// server with the base URL, but for the time of _since, which it returns.
func (m *Manifest) Compare(base *url.URL, r Request) Comparison {
	var c Comparison
	u, err := url.Parse(m.asked)
	if err != nil || u.Path == "" {
		return c
	}
	level, group, root := levelOf(u.Path)
	switch {
	case level == "":
		return c
	case level != r.Level:
		c.Differs = append(c.Differs, "level")
	case group != r.Group:
		c.Differs = append(c.Differs, "group")
	}
	got, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(got) == 0 {
		return c
	}
	here := root == strings.Trim(base.Path, "/") || !strings.HasPrefix(u.Path, "/") // is relative to it
	c.Known = here && len(r.Patients) == 0                                          // those go by POST
	r.Since, r.Patients = time.Time{}, nil
	want := url.Values{}
	for _, p := range r.params() {
		want[p.name] = append(want[p.name], p.value)
		if p.list != nil {
			want[p.name] = p.list
		}
	}
	names := slices.AppendSeq(slices.Collect(maps.Keys(got)), maps.Keys(want))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		switch name {
		case "_outputFormat", "allowPartialManifests", "_format", "_pretty": // none of them changes what comes
			continue
		case "_since":
			var ok bool
			if c.Since, ok = parseInstant(strings.ReplaceAll(got.Get(name), " ", "+")); ok && len(got[name]) == 1 {
				continue
			}
		default:
			if slices.Equal(members(name, got[name]), members(name, want[name])) {
				continue
			}
		}
		c.Differs = append(c.Differs, printable(name, 64))
	}
	return c
}

// levelOf reads the level of an export from the path that it was asked for at, and the
// path of the base URL, without slashes around it; the level is "" when it is none.
func levelOf(path string) (level Level, group, base string) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	n := len(segments) - 1
	if segments[n] != "$export" {
		return "", "", ""
	}
	level = System
	switch {
	case n > 1 && segments[n-2] == "Group":
		level, group, n = Group, segments[n-1], n-2
	case n > 0 && segments[n-1] == "Patient":
		level, n = Patient, n-1
	}
	return level, group, strings.Join(segments[:n], "/")
}

// members are the values of a parameter in an order of their own, those of lists
// taken apart, instants in one form.
func members(name string, values []string) []string {
	var out []string
	for _, v := range values {
		switch name {
		case "_type", "_elements", "includeAssociatedData":
			out = append(out, strings.Split(v, ",")...)
		case "_until":
			if t, ok := parseInstant(strings.ReplaceAll(v, " ", "+")); ok {
				v = stamp(t)
			}
			out = append(out, v)
		default:
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
