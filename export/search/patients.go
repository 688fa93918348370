package search

import (
	"context"
	"strings"
	"time"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// Patients lists the ids of all patients, page by page, and returns the server's
// date at the first page (F57). A request that names patients is not asked for
// them: their ids are handed on, and the date is the zero time. After a
// *RestartError the listing starts over, and each is given ids again that it had.
func (c *Client) Patients(ctx context.Context, r Request, each func(id string) error) (time.Time, error) {
	if len(r.Patients) > 0 {
		for _, id := range r.Patients {
			if err := each(strings.TrimPrefix(id, "Patient/")); err != nil {
				return time.Time{}, err
			}
		}
		return time.Time{}, nil
	}
	u, _, err := c.firstURL("Patient?_elements=id")
	if err != nil {
		return time.Time{}, err
	}
	w, err := c.pages(ctx, "list patients", "Patient", u, nil, &listing{each: each})
	return w.date, err
}

// listing is the visitor that gathers ids.
type listing struct {
	each func(id string) error
	page []string
}

func (l *listing) begin() { l.page = l.page[:0] }

func (l *listing) entry(e entry) (pinned bool, err error) {
	m := members(e.resource, "resourceType", "id")
	switch {
	case m[0] == "OperationOutcome":
		issues, _ := fhirhttp.ParseOutcome(e.resource)
		for _, i := range issues {
			if i.Severity == "error" || i.Severity == "fatal" {
				return false, &BundleError{Op: "list patients", Reason: "the server says that the list is incomplete: " + i.String()}
			}
		}
	case m[0] != "Patient":
	case m[1] == "":
		return false, &BundleError{Op: "list patients", Reason: "a patient has no id"}
	default:
		l.page = append(l.page, m[1])
	}
	return false, nil
}

func (l *listing) commit() error {
	for _, id := range l.page {
		if err := l.each(id); err != nil {
			return err
		}
	}
	l.page = l.page[:0]
	return nil
}
