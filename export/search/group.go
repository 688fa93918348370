package search

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// GroupError is a Group that was looked for by a name and is not the only one, or
// is none.
type GroupError struct {
	Found int
}

func (e *GroupError) Error() string {
	if e.Found == 0 {
		return "find group: the server has none of that name"
	}
	return fmt.Sprintf("find group: the server has %d of that name", e.Found)
}

// Class says which exit code the error leads to.
func (e *GroupError) Class() string { return "usage" }

// Hint says what a person can do.
func (e *GroupError) Hint() string { return "name the group by its id" }

// GroupByName returns the id of the one Group that has the name, or an identifier
// of that value. A server that does not search Groups by name (R4 does not ask for
// it), or ignores the parameter, has all its Groups read.
func (c *Client) GroupByName(ctx context.Context, name string) (id string, err error) {
	for _, query := range []string{"Group?name=" + escapeAll(name), "Group"} {
		found := &groups{name: name, ids: map[string]bool{}}
		u, _, err := c.firstURL(query)
		if err != nil {
			return "", err
		}
		_, err = c.pages(ctx, "find group", "Group", u, nil, found)
		switch {
		case err != nil && (query == "Group" || ctx.Err() != nil || !refused(err)):
			return "", err
		case len(found.ids) == 1:
			for id := range found.ids {
				return id, nil
			}
		case len(found.ids) > 1:
			return "", &GroupError{Found: len(found.ids)}
		}
	}
	return "", &GroupError{}
}

// refused reports a search that the server turned down as such.
func refused(err error) bool {
	var se *fhirhttp.StatusError
	return errors.As(err, &se) && se.Status/100 == 4 && se.Status != http.StatusUnauthorized && se.Status != http.StatusForbidden
}

func escapeAll(s string) string { return strings.ReplaceAll(url.QueryEscape(literal(s)), "+", "%20") }

// groups is the visitor that looks for a name.
type groups struct {
	name string
	page []string
	ids  map[string]bool
}

func (g *groups) begin() { g.page = nil }

func (g *groups) entry(e entry) (pinned bool, err error) {
	var w struct {
		ResourceType string `json:"resourceType"`
		ID           string `json:"id"`
		Name         string `json:"name"`
		Identifier   []struct {
			Value string `json:"value"`
		} `json:"identifier"`
	}
	if jsonv2.Unmarshal(e.resource, &w) != nil || w.ResourceType != "Group" || w.ID == "" {
		return false, nil
	}
	match := w.Name == g.name
	for _, i := range w.Identifier {
		match = match || i.Value == g.name
	}
	if match {
		g.page = append(g.page, w.ID)
	}
	return false, nil
}

func (g *groups) commit() error {
	for _, id := range g.page {
		g.ids[id] = true
	}
	return nil
}

// maxGroup bounds a Group resource: some two million members.
const maxGroup = 256 << 20

// Members lists the patients of a Group by reading the Group itself: its own
// members and those of Groups in it, each once, without those that are marked
// inactive. A Group by definition lists no members (actual is false): that is an
// error, for an empty list would mean that nobody is in it.
func (c *Client) Members(ctx context.Context, group string, each func(id string) error) error {
	seen, visited := map[string]bool{}, map[string]bool{group: true}
	for todo := []string{group}; len(todo) > 0; todo = todo[1:] {
		patients, nested, err := c.members(ctx, todo[0])
		if err != nil {
			return err
		}
		for _, id := range patients {
			if seen[id] {
				continue
			}
			seen[id] = true
			if err := each(id); err != nil {
				return err
			}
		}
		for _, id := range nested {
			if !visited[id] {
				visited[id] = true
				todo = append(todo, id)
			}
		}
	}
	return nil
}

func (c *Client) members(ctx context.Context, group string) (patients, nested []string, err error) {
	const op = "read group"
	u := *c.Base
	u.Path = strings.TrimRight(u.Path, "/") + "/Group/" + group
	u.RawPath = strings.TrimRight(c.Base.EscapedPath(), "/") + "/Group/" + url.PathEscape(group)
	u.RawQuery, u.User = "", nil
	var w struct {
		ResourceType string `json:"resourceType"`
		Actual       *bool  `json:"actual"`
		Member       []struct {
			Inactive bool `json:"inactive"`
			Entity   struct {
				Reference string `json:"reference"`
			} `json:"entity"`
		} `json:"member"`
	}
	err = c.requests().Do(ctx, fhirhttp.Call{
		Op: op, URL: &u, Accept: "application/fhir+json",
		Handle: func(resp *http.Response) error {
			body, err := fhirhttp.ReadAll(op, resp, maxGroup)
			if err != nil {
				return err
			}
			if issues, ok := fhirhttp.ParseOutcome(body); ok {
				return &fhirhttp.StatusError{Op: op, Status: resp.StatusCode, Issues: issues}
			}
			if jsonv2.Unmarshal(body, &w) != nil || w.ResourceType != "Group" {
				return &BundleError{Op: op, Reason: "the answer is not a Group"}
			}
			return nil
		},
	})
	if err != nil {
		return nil, nil, err
	}
	if w.Actual != nil && !*w.Actual {
		return nil, nil, &BundleError{Op: op, Reason: "the group is defined by characteristics and lists no members"}
	}
	for _, m := range w.Member {
		ref, _, _ := strings.Cut(m.Entity.Reference, "/_history/")
		segments := strings.Split(ref, "/")
		if m.Inactive {
			continue
		}
		if n := len(segments); n >= 2 && segments[n-1] != "" {
			switch id := segments[n-1]; segments[n-2] {
			case "Patient":
				patients = append(patients, id)
				continue
			case "Group":
				nested = append(nested, id)
				continue
			case "Practitioner", "PractitionerRole", "Device", "Medication", "Substance":
				continue
			}
		}
		return nil, nil, &BundleError{Op: op, Reason: "a member is neither a patient nor a group by Type/id"}
	}
	return slices.Clip(patients), nested, nil
}
