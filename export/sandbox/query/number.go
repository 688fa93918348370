package query

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/flue-fhir/flue/export/sandbox/fhirpath"
)

// numberValue is a number or quantity parameter's value. Equality allows half
// of the last digit that was written.
type numberValue struct {
	prefix       string
	value, slack float64
	system, code string
	anySystem    bool
}

func parseNumber(text string) (numberValue, error) {
	var out numberValue
	prefix, rest := cutPrefix(text)
	number, unit, hasUnit := cut(rest)
	out.prefix, out.anySystem = prefix, true
	if hasUnit {
		system, code, ok := cut(unit)
		if !ok {
			return out, errors.New("a quantity is not number|system|code")
		}
		out.system, out.code, out.anySystem = unescape(system), unescape(code), system == ""
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsInf(value, 0) || math.IsNaN(value) || strings.ContainsAny(number, "xXpP_iInN") {
		return out, errors.New("a value is not a number")
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	scale := 0
	if exponent != "" {
		if scale, err = strconv.Atoi(exponent); err != nil {
			return out, errors.New("a value is not a number")
		}
	}
	if _, fraction, ok := strings.Cut(mantissa, "."); ok {
		scale -= len(fraction)
	}
	out.value, out.slack = value, 0.5*math.Pow10(scale)
	return out, nil
}

func (n numberValue) holds(v float64) bool {
	switch n.prefix {
	case "eq":
		return v >= n.value-n.slack && v < n.value+n.slack
	case "ne":
		return v < n.value-n.slack || v >= n.value+n.slack
	case "gt", "sa":
		return v > n.value
	case "lt", "eb":
		return v < n.value
	case "ge":
		return v >= n.value
	case "le":
		return v <= n.value
	default: // ap: within a tenth
		return math.Abs(v-n.value) <= math.Max(n.slack, math.Abs(n.value)/10)
	}
}

func matchNumber(values []string) (func(fhirpath.Value) bool, error) {
	var wanted []numberValue
	for _, v := range values {
		n, err := parseNumber(v)
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, n)
	}
	return func(v fhirpath.Value) bool {
		return slices.ContainsFunc(wanted, func(n numberValue) bool { return n.matches(v.JSON) })
	}, nil
}

// matches tests a number, a Quantity, or the origin of SampledData.
func (n numberValue) matches(v any) bool {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		return err == nil && n.code == "" && n.holds(f)
	case map[string]any:
		number, ok := v["value"].(json.Number)
		if !ok {
			return false
		}
		f, err := number.Float64()
		if err != nil || !n.holds(f) {
			return false
		}
		system, _ := v["system"].(string)
		code, _ := v["code"].(string)
		unit, _ := v["unit"].(string)
		if currency, ok := v["currency"].(string); ok {
			code, system = currency, "urn:iso:std:iso:4217"
		}
		return n.code == "" || (n.anySystem || n.system == system) && (n.code == code || n.anySystem && n.code == unit)
	}
	return false
}
