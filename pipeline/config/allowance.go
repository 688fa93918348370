package config

import (
	"errors"
	"regexp"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Allowance is how many lines of a run may be bad: so many, or a share of all that
// were delivered. The zero value allows none.
type Allowance struct {
	Lines int64 // when Share is 0
	Share int64 // in millionths
}

const (
	whole     = 1_000_000 // the share that is everything
	mostLines = 1 << 40
)

// The form of a share: at most four decimals, which are millionths.
var shareForm = regexp.MustCompile(`^(\d{1,3})(?:\.(\d{1,4}))?%$`)

// ParseAllowance reads "10" as a number of lines and "0.1%" as a share of them.
func ParseAllowance(text string) (Allowance, error) {
	if !strings.HasSuffix(text, "%") {
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil:
			return Allowance{}, errors.New("is neither a whole number nor a share of lines")
		case n < 0 || n > mostLines:
			return Allowance{}, errors.New("is " + text + ", want 0 to " + strconv.Itoa(mostLines))
		}
		return Allowance{Lines: n}, nil
	}
	m := shareForm.FindStringSubmatch(text)
	if m == nil {
		return Allowance{}, errors.New("is no share of lines")
	}
	percent, _ := strconv.ParseInt(m[1], 10, 64)
	part, _ := strconv.ParseInt((m[2] + "0000")[:4], 10, 64)
	share := percent*whole/100 + part
	if share > whole {
		return Allowance{}, errors.New("is more than 100%")
	}
	return Allowance{Share: share}, nil
}

// String writes it as ParseAllowance reads it.
func (a Allowance) String() string {
	if a.Share == 0 {
		return strconv.FormatInt(a.Lines, 10)
	}
	return strconv.FormatFloat(float64(a.Share)*100/whole, 'f', -1, 64) + "%"
}

// Allows reports whether so many bad lines are allowed among those delivered.
func (a Allowance) Allows(bad, delivered int64) bool {
	if a.Share == 0 {
		return bad <= a.Lines
	}
	return bad <= delivered/whole*a.Share+delivered%whole*a.Share/whole
}

// Exceeded reports whether there are more bad lines than allowed, however many
// lines are still to come: of a share nobody knows.
func (a Allowance) Exceeded(bad int64) bool { return a.Share == 0 && bad > a.Lines }

// allowance is a number of lines, or a share of them.
func allowance() kind[Allowance] {
	const want = "a number of lines, or a share of them"
	return kind[Allowance]{
		word: "number | share",
		schema: func() schema {
			return schema{"anyOf": []any{
				schema{"type": "integer", "minimum": 0, "maximum": mostLines},
				schema{"type": "string", "pattern": shareForm.String()},
				schema{"type": "string", "pattern": environment},
			}}
		},
		read: func(d *decoder, c cursor) (Allowance, bool) {
			if _, ok := c.node.(*ast.BoolNode); ok {
				d.wrongType(c, want)
				return Allowance{}, false
			}
			s, quoted, ok := d.scalar(c, want)
			if !ok {
				return Allowance{}, false
			}
			a, err := ParseAllowance(s)
			switch {
			case err != nil:
				d.fail(c, err.Error(), "write 10, or 0.1%, with at most four decimals")
				return a, false
			case quoted && a.Share == 0 && !strings.HasSuffix(s, "%"):
				d.fail(c, "is text, want "+want, "write the number without quotes")
				return a, false
			}
			return a, true
		},
	}
}
