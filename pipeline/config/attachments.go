package config

import (
	"regexp"
	"slices"
	"strings"
)

// attachmentTypes are the types whose attachments can be fetched.
func attachmentTypes() []string { return []string{"DiagnosticReport", "DocumentReference"} }

// maxAttachment is up to which size a content is fetched unless the job says
// otherwise.
const maxAttachment = 1 << 30

var mimeForm = regexp.MustCompile(`^(\*/\*|[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/(\*|[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*))$`)

func attachmentsObject() object[Attachments] {
	return object[Attachments]{
		fields: []field[Attachments]{
			at("types", "Resource types whose attachments are fetched.", list(choice(attachmentTypes()...)), func(a *Attachments) *[]string { return &a.Types }).or("those of the two that the job asks for"),
			at("mime", "Content types that are fetched; text/* is every text, parameters do not matter.", list(text("content type", "", matching(mimeForm, "is not a content type", "write it without parameters: application/pdf, text/*"))), func(a *Attachments) *[]string { return &a.MIME }).or("all"),
			at("max_size", "Bytes of one content; larger ones are not fetched.", size(1), func(a *Attachments) *int64 { return &a.MaxSize }).or("1GiB"),
			at("parallel", "Contents that are fetched at once.", integer(1, 64), func(a *Attachments) *int { return &a.Parallel }).or("the server's limits.downloads"),
			byDefault(
				at("on_unavailable", "When the FHIR server fails for many attachments in a row, for reasons that may pass: stop the run, which the next one takes up again, or record them as failed and publish.", choice("stop", "record"), func(a *Attachments) *string { return &a.OnUnavailable }),
				func(a *Attachments) *string { return &a.OnUnavailable }, "stop"),
		},
		check: func(_ *decoder, _ cursor, a *Attachments) {
			if a.MaxSize == 0 {
				a.MaxSize = maxAttachment
			}
		},
	}
}

// checkAttachments holds the types against those that the job asks for, and
// chooses among them where none are named.
func checkAttachments(d *decoder, c cursor, j *Job) {
	a := j.Attachments
	if a == nil {
		return
	}
	where, _ := d.child(c, "attachments")
	named, given := d.child(where, "types")
	if !given {
		a.Types = attachmentTypes()
		if asked := j.Export.Types; len(asked) > 0 {
			a.Types = slices.DeleteFunc(a.Types, func(t string) bool { return !slices.Contains(asked, t) })
		}
		if len(a.Types) == 0 {
			d.fail(where, "the job asks for no type that has attachments", "add "+strings.Join(attachmentTypes(), " or ")+" to export.types, or remove the key")
		}
		return
	}
	for i, t := range a.Types {
		if asked := j.Export.Types; len(asked) > 0 && !slices.Contains(asked, t) {
			at := named
			at.at = itemToken(d, named, i)
			d.fail(at, t+" is not among export.types", "add it there or remove it here")
		}
	}
}
