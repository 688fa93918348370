package cli

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline/config"
)

// exportFlags are the parameters of the export as flags (P20): those that are
// given take the place of what the job says, for this run.
type exportFlags struct {
	types, filters, elements, patients, params []string
	since, until, group                        string
	lenient, post                              bool
}

func (x *exportFlags) add(c *cobra.Command) {
	f := c.Flags()
	f.StringSliceVar(&x.types, "type", nil, "resource types to ask for instead of the job's, with commas or repeated")
	f.StringVar(&x.since, "since", "", "ask for changes since this instant instead of what the job says")
	f.StringVar(&x.until, "until", "", "ask for what changed before this instant")
	f.StringArrayVar(&x.filters, "type-filter", nil, "searches that resources must match, as Type?query, instead of the job's; repeated")
	f.StringSliceVar(&x.elements, "element", nil, "top-level elements to keep instead of the job's, with commas or repeated")
	f.StringVar(&x.group, "group", "", "id of the Group to export")
	f.StringSliceVar(&x.patients, "patient", nil, "ids of the patients to export, or file:PATH, instead of the job's")
	f.StringArrayVar(&x.params, "param", nil, "further parameter of the kick-off, as name=value, beside the job's; repeated")
	f.BoolVar(&x.lenient, "lenient", false, "ask the server to ignore what it does not support")
	f.BoolVar(&x.post, "post", false, "kick off with POST")
}

// apply returns the export with the flags that were given, and whether any was.
func (x *exportFlags) apply(c *cobra.Command, e config.Export) (config.Export, bool, error) {
	extra := maps.Clone(e.Extra)
	if extra == nil {
		extra = map[string]string{}
	}
	for _, p := range x.params {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" || value == "" {
			return e, false, &usageError{message: "--param wants name=value"}
		}
		extra[name] = value
	}
	values, flagOf := map[string]any{}, map[string]string{}
	for _, f := range []struct {
		flag, key string
		value     any
	}{
		{"type", "types", x.types},
		{"since", "since", x.since},
		{"until", "until", x.until},
		{"type-filter", "type_filters", x.filters},
		{"element", "elements", x.elements},
		{"group", "group", x.group},
		{"patient", "patients", x.patients},
		{"param", "extra", extra},
		{"lenient", "lenient", x.lenient},
		{"post", "post", x.post},
	} {
		if c.Flags().Changed(f.flag) {
			values[f.key], flagOf[f.key] = f.value, f.flag
		}
	}
	if len(values) == 0 {
		return e, false, nil
	}
	changed, err := e.With(values)
	var all *config.Errors
	if errors.As(err, &all) && len(all.List) > 0 {
		first := all.List[0]
		key := first.Path
		for _, k := range slices.Sorted(maps.Keys(flagOf)) {
			if key == k || strings.HasPrefix(key, k+"[") || strings.HasPrefix(key, k+".") {
				return e, false, &usageError{message: "--" + flagOf[k] + ": " + first.Message, hint: first.Hint()}
			}
		}
		return e, false, &usageError{message: "flags: " + first.Message, hint: first.Hint()}
	}
	return changed, true, err
}
