package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// With returns the export with some keys of jobs.yaml's export set to other
// values, read by the same rules: text, lists of text, booleans, and text by
// name. Nothing is expanded in them. What is wrong with a value is an *Errors;
// the export itself is not changed.
func (e Export) With(values map[string]any) (Export, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b) // JSON is YAML
	enc.SetEscapeHTML(false)
	if err := enc.Encode(values); err != nil {
		return e, fmt.Errorf("encode values: %w", err)
	}
	text := strings.ReplaceAll(b.String(), "${", "$${")
	d := &decoder{env: func(string) (string, bool) { return "", false }, anchors: nil}
	d.lines = strings.Split(text, "\n")
	root, ok := d.document([]byte(text))
	if !ok {
		return e, d.result()
	}
	changed := e
	bulkOnly, searchOnly := bulkKeys(), searchKeys()
	for _, f := range exportObject().fields {
		c, ok := d.child(root, f.key)
		switch {
		case !ok:
			continue
		case e.Mode == "search" && slices.Contains(bulkOnly, f.key), e.Mode == "bulk" && slices.Contains(searchOnly, f.key):
			d.fail(c, "has no meaning with mode "+e.Mode, "")
			continue
		case f.key == "since":
			changed.Since = Since{}
		}
		f.read(d, c, &changed)
		if f.key == "group" {
			changed.Level = "group"
		}
	}
	if c, ok := d.child(root, "patients"); ok && changed.Level == "system" && changed.Mode == "bulk" {
		d.failMasked(c, "has no meaning with level system", "it needs a job of level patient or group")
	}
	checkFilters(d, root, &changed)
	if len(changed.Types) > 0 {
		for _, filter := range changed.TypeFilters {
			if typ, _, _ := strings.Cut(filter, "?"); !slices.Contains(changed.Types, typ) {
				d.fail(root, "a filter is for "+typ+", which is not among the types", "ask for that type too, or give other filters")
			}
		}
	}
	if since := changed.Since.Time; !changed.Until.IsZero() && !since.IsZero() && !since.Before(changed.Until) {
		d.fail(root, "until is not after since", "")
	}
	if len(d.errs) > 0 {
		return e, d.result()
	}
	return changed, nil
}
