// Package schedule computes when a job is due from a five-field cron
// expression and a time zone. It is pure: it reads no clock and keeps nothing.
//
// The fields are those of crontab(5): minute, hour, day of month, month, day of
// week; when both day fields are restricted, either of them matches. Around a
// change of the clocks the rules are those of ISC cron: an expression with a
// fixed hour runs once a day, in spring within the hour after the one that is
// skipped and in autumn the first time that its hour comes round; one whose hour field
// begins with * runs by elapsed time.
package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	cron "github.com/netresearch/go-cron"
)

// Validate says what is wrong with the expression; nil when nothing is.
func Validate(expr string) error {
	_, err := parse(expr, "")
	return err
}

// Next is the first instant after now at which the expression is due in the
// IANA time zone tz (empty: now's own zone). It is zero for an expression that
// never comes true, such as the 30th of February.
func Next(expr, tz string, now time.Time) (time.Time, error) {
	p, err := parse(expr, tz)
	if err != nil {
		return time.Time{}, err
	}
	return p.next(now), nil
}

// Due is the newest instant after last and not after now at which the
// expression was due, and whether there is one: of several that were missed,
// only the newest is caught up on. A zero last means that nothing was missed.
func Due(expr, tz string, last, now time.Time) (time.Time, bool, error) {
	p, err := parse(expr, tz)
	if err != nil {
		return time.Time{}, false, err
	}
	if last.IsZero() || !last.Before(now) {
		return time.Time{}, false, nil
	}
	// Look back in growing windows, so that a long pause of a job that runs
	// every minute costs no walk over all that was missed.
	for window := time.Hour; ; window *= 24 {
		from := now.Add(-window)
		whole := !from.After(last)
		if whole {
			from = last
		}
		var due time.Time
		for t := p.next(from); !t.IsZero() && !t.After(now); t = p.next(t) {
			due = t
		}
		if !due.IsZero() || whole {
			return due, !due.IsZero(), nil
		}
	}
}

// plan is a parsed expression.
type plan struct {
	schedule cron.Schedule
	zone     *time.Location // nil: that of the instant asked about
	byHour   bool           // the hour is fixed: once a day, whatever the clocks do
}

func parse(expr, tz string) (plan, error) {
	fields := strings.Fields(expr)
	if len(fields) != 5 {
		return plan{}, fmt.Errorf("cron expression has %d fields, want 5: minute, hour, day of month, month, day of week", len(fields))
	}
	parser, err := cron.TryNewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.DowOrDom)
	if err != nil {
		return plan{}, fmt.Errorf("build cron parser: %w", err)
	}
	s, err := parser.Parse(strings.Join(fields, " "))
	if err != nil {
		return plan{}, fmt.Errorf("cron expression: %w", err)
	}
	p := plan{schedule: s, byHour: !strings.HasPrefix(fields[1], "*")}
	if tz != "" {
		if p.zone, err = time.LoadLocation(tz); err != nil {
			return plan{}, errors.New("time zone is not an IANA name such as Europe/Berlin")
		}
	}
	return p, nil
}

func (p plan) next(now time.Time) time.Time {
	if p.zone != nil {
		now = now.In(p.zone)
	}
	if !p.byHour {
		return p.schedule.Next(now)
	}
	// Walk over wall clock readings, held as if they were UTC, where no clock
	// ever changes; begin early enough to see a reading that a change moved past
	// now, and end late enough to see one that it moved before the one found.
	const change = 3 * time.Hour
	var found time.Time
	for w := p.schedule.Next(reading(now).Add(-change)); !w.IsZero(); w = p.schedule.Next(w) {
		if !found.IsZero() && w.After(reading(found).Add(change)) {
			break
		}
		if t := first(w, now.Location()); t.After(now) && (found.IsZero() || t.Before(found)) {
			found = t
		}
	}
	return found
}

// reading is t's wall clock, as if it were UTC.
func reading(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.Add(time.Duration(offset) * time.Second).UTC()
}

// first is the first instant in the zone whose wall clock reads w; where the
// clocks skip w, that at which it would have come had they not.
func first(w time.Time, zone *time.Location) time.Time {
	_, before := w.Add(-24 * time.Hour).In(zone).Zone()
	_, after := w.Add(24 * time.Hour).In(zone).Zone()
	t := w.Add(-time.Duration(before) * time.Second).In(zone)
	if u := w.Add(-time.Duration(after) * time.Second).In(zone); !reading(t).Equal(w) && reading(u).Equal(w) {
		return u
	}
	return t
}
