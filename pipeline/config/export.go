package config

import (
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

func exportObject() object[Export] {
	return object[Export]{
		fields: []field[Export]{
			byDefault(
				at("mode", "bulk: the server's $export. search: paged searches, for servers without it; of a type that can belong to a patient, they find only what does: no Observation of a Device.", choice("bulk", "search"), func(e *Export) *string { return &e.Mode }),
				func(e *Export) *string { return &e.Mode }, "bulk"),
			at("level", "bulk: all data (system), all patients (patient) or the members of a group.", choice("system", "patient", "group"), func(e *Export) *string { return &e.Level }).or("group when a group is given, else system"),
			at("group", "bulk: id of the Group to export.", identifier("id", false, matching(idForm, "is not an id", "letters, digits, -, . and _")), func(e *Export) *string { return &e.Group }),
			at("types", "Resource types to ask for.", list(resourceType()), func(e *Export) *[]string { return &e.Types }).or("whatever the server sends; needed for search"),
			sinceField(),
			at("newcomers", "bulk, with since: last: of those who joined the group since the last snapshot, full exports what is older too (it lists the members first, and needs the type Patient); ignore exports only what changed.", choice("full", "ignore"), func(e *Export) *string { return &e.Newcomers }).or("full"),
			at("until", "bulk: only what changed before this instant.", instant(), func(e *Export) *time.Time { return &e.Until }),
			at("elements", "Top-level elements to keep; resources come marked SUBSETTED.", list(elementName()), func(e *Export) *[]string { return &e.Elements }).or("whole resources"),
			at("type_filters", "Searches that resources must match, as Type?query, unencoded. Servers may ignore them without a word.", list(typeFilter()), func(e *Export) *[]string { return &e.TypeFilters }),
			at("patients", "Ids of the patients to export; file:PATH stands for a file with one id a line.", list(patientID()), func(e *Export) *[]string { return &e.Patients }).or("all"),
			at("include_associated_data", "bulk: sets of associated data, such as LatestProvenanceResources.", list(text("text", "", nil)), func(e *Export) *[]string { return &e.IncludeAssociatedData }),
			at("organize_output_by", "bulk: resource type that the server shall organize its files by.", resourceType(), func(e *Export) *string { return &e.OrganizeOutputBy }),
			at("allow_partial_manifests", "bulk: let the server hand out files before the export is complete; they land while it still works.", boolean(), func(e *Export) *bool { return &e.AllowPartialManifests }).or("false"),
			at("output_format", "bulk: the _outputFormat parameter.", choice("application/fhir+ndjson", "application/ndjson", "ndjson"), func(e *Export) *string { return &e.OutputFormat }).or("not sent"),
			at("extra", "bulk: further parameters of the kick-off by name.", dictionary("text by name", validExtra, identifier("text", false, nil)), func(e *Export) *map[string]string { return &e.Extra }),
			at("post", "bulk: kick off with POST.", boolean(), func(e *Export) *bool { return &e.Post }).or("only where a parameter needs it"),
			at("repeat", "bulk: repeat _type and _elements instead of joining them with commas.", boolean(), func(e *Export) *bool { return &e.Repeat }).or("false"),
			at("lenient", "bulk: ask the server to ignore what it does not support; what it ignored is recorded.", boolean(), func(e *Export) *bool { return &e.Lenient }).or("false"),
			at("count", "search: resources on one page.", integer(1, 10_000), func(e *Export) *int { return &e.Count }).or("500"),
			at("include", "search: _include values of the Patient search.", list(includeValue()), func(e *Export) *[]string { return &e.Include }),
		},
		check: checkExport,
	}
}

func sinceField() field[Export] {
	fixed := instant()
	return field[Export]{
		key: "since", word: "last | instant", absent: "everything, each time",
		doc: "Only what changed since: last (the last snapshot of this job) or a fixed instant.",
		schema: func() schema {
			return schema{"anyOf": []any{schema{"const": "last"}, fixed.schema()}}
		},
		read: func(d *decoder, c cursor, e *Export) {
			if s, ok := c.node.(*ast.StringNode); ok {
				if got, err := expand(s.Value, d.env); err == nil && got == "last" {
					e.Since.Last = true
					return
				}
			}
			before := len(d.errs)
			t, ok := fixed.read(d, c)
			if ok {
				e.Since.Time = t
				return
			}
			for _, err := range d.errs[before:] {
				if err.Message == "is not an instant" {
					err.Message, err.hint = "is neither last nor an instant", "write last, a date, or a time with its offset: 2026-01-31T00:00:00Z"
				}
			}
		},
	}
}

// patientID is the id of a patient: protected, so that no excerpt shows it (I7).
func patientID() kind[string] {
	k := identifier("patient id", true, func(s string) (string, string) {
		if idForm.MatchString(s) || secretForm.MatchString(s) && strings.HasPrefix(s, "file:") {
			return "", ""
		}
		return "is not a patient's id", "write the bare id, without Patient/, or file:PATH"
	})
	return k
}

func validExtra(s string) (wrong, hint string) {
	known := map[string]string{
		"_type": "types", "_since": "since", "_until": "until", "_elements": "elements", "_typeFilter": "type_filters",
		"patient": "patients", "_outputFormat": "output_format", "includeAssociatedData": "include_associated_data",
		"organizeOutputBy": "organize_output_by", "allowPartialManifests": "allow_partial_manifests",
	}
	if key, own := known[s]; own {
		return "has a key of its own", "use " + key
	}
	if strings.ContainsAny(s, " &=?#") {
		return "is not a parameter's name", ""
	}
	return "", ""
}

// Keys of one mode have no meaning in the other.
func bulkKeys() []string {
	return []string{
		"level", "group", "newcomers", "until", "include_associated_data", "organize_output_by", "allow_partial_manifests",
		"output_format", "extra", "post", "repeat", "lenient",
	}
}

func searchKeys() []string { return []string{"count", "include"} }

func checkExport(d *decoder, c cursor, e *Export) {
	other, when := searchKeys(), "with mode bulk"
	if e.Mode == "search" {
		other, when = bulkKeys(), "with mode search"
		e.Level, e.Group = "", ""
		if _, ok := d.child(c, "types"); !ok {
			d.fail(c, "mode search needs the key types", "list the resource types to search for")
		}
	} else {
		checkLevel(d, c, e)
	}
	for _, key := range other {
		if where, ok := d.child(c, key); ok {
			d.fail(where, "has no meaning "+when, "remove it")
		}
	}
	checkFilters(d, c, e)
	checkNewcomers(d, c, e)
	if !e.Until.IsZero() && !e.Since.Time.IsZero() && !e.Since.Time.Before(e.Until) {
		where, _ := d.child(c, "until")
		d.fail(where, "until is not after since", "")
	}
}

func checkLevel(d *decoder, c cursor, e *Export) {
	group, hasGroup := d.child(c, "group")
	level, hasLevel := d.child(c, "level")
	switch {
	case !hasLevel && hasGroup:
		e.Level = "group"
	case !hasLevel:
		e.Level = "system"
	case e.Level == "group" && !hasGroup:
		d.fail(level, "level group needs the key group", "give the Group's id")
	case e.Level != "group" && e.Level != "" && hasGroup:
		d.fail(group, "has no meaning with level "+e.Level, "remove it, or use level: group")
	}
	if patients, ok := d.child(c, "patients"); ok && e.Level == "system" {
		d.failMasked(patients, "has no meaning with level system", "use level: patient")
	}
}

// checkNewcomers finds a word about newcomers where there are none to be told.
func checkNewcomers(d *decoder, c cursor, e *Export) {
	where, ok := d.child(c, "newcomers")
	switch {
	case !ok || e.Newcomers != "full" || e.Mode == "search":
	case e.Level == "system":
		d.fail(where, "has no meaning with level system", "remove it")
	case len(e.Types) > 0 && !slices.Contains(e.Types, "Patient"):
		d.fail(where, "full needs the type Patient, by which the members are listed", "add Patient to types")
	case len(e.Patients) > 0:
		d.fail(where, "has no meaning with patients", "remove it")
	}
}

// checkFilters finds filters, elements and includes of types that are not asked
// for.
func checkFilters(d *decoder, c cursor, e *Export) {
	if len(e.Types) == 0 {
		return
	}
	misplaced := func(key string, values []string, sep string) {
		where, ok := d.child(c, key)
		if !ok {
			return
		}
		for i, v := range values {
			typ, _, typed := strings.Cut(v, sep)
			if typed && !slices.Contains(e.Types, typ) {
				at := where
				at.at = itemToken(d, where, i)
				d.fail(at, "is for "+typ+", which is not among types", "add "+typ+" to types or remove it")
			}
		}
	}
	misplaced("type_filters", e.TypeFilters, "?")
	misplaced("elements", e.Elements, ".")
}
