package search

import (
	"context"
	"strings"

	"github.com/flue-fhir/flue/export/internal/fhirhttp"
)

// Patients lists the ids of all patients, page by page. Of the Result, Resources
// counts the ids, and Date is the server's at the first page (F57). A request that
// names patients is not asked for them: their ids are handed on, and the date is
// the zero time. After a *RestartError the listing starts over, and each is given
// ids again that it had.
func (c *Client) Patients(ctx context.Context, r Request, each func(id string) error) (Result, error) {
	if len(r.Patients) > 0 {
		for _, id := range r.Patients {
			if err := each(strings.TrimPrefix(id, "Patient/")); err != nil {
				return Result{}, err
			}
		}
		return Result{Resources: int64(len(r.Patients)), Total: -1}, nil
	}
	u, _, err := c.firstURL("Patient?_elements=id")
	if err != nil {
		return Result{}, err
	}
	l := &listing{each: each}
	w, err := c.pages(ctx, "list patients", "Patient", u, nil, l)
	if err != nil {
		return Result{}, err
	}
	if l.foreign > 0 {
		w.warn("the server sent entries that are no patients")
		w.short = true
	}
	return w.result(l.listed), nil
}

// listing is the visitor that gathers ids.
type listing struct {
	each    func(id string) error
	page    []string
	others  int64 // entries of the page that are no patients
	listed  int64 // ids of the pages that are whole
	foreign int64 // entries of those that are no patients
}

func (l *listing) begin() { l.page, l.others = l.page[:0], 0 }

func (l *listing) entry(e entry) (pinned bool, err error) {
	m := members(e.resource, "resourceType", "id")
	switch {
	case m[0] == "OperationOutcome":
		issues, _ := fhirhttp.ParseOutcome(e.resource)
		for _, i := range issues {
			if i.Severity == "error" || i.Severity == "fatal" || i.Severity == "unknown" {
				return false, &BundleError{Op: "list patients", Reason: "the server says that the list is incomplete: " + i.String()}
			}
		}
	case m[0] != "Patient":
		l.others++
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
	l.listed += int64(len(l.page))
	l.foreign += l.others
	l.begin()
	return nil
}
