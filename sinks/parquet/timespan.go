package parquet

import "github.com/flue-fhir/flue/internal/definition"

const (
	second = int64(1e6) // microseconds
	minute = 60 * second
	hour   = 60 * minute
	day    = 24 * hour
)

// parseSpan turns the text of a date, dateTime or instant into the first and
// the last microsecond that it covers, since 1970 in UTC. A text without an
// offset means UTC; a leap second is the last microsecond of its minute. What
// R4 does not allow for the kind is not ok.
//
// Source: https://hl7.org/fhir/R4/datatypes.html#primitive
func parseSpan(text []byte, kind definition.Kind) (start, end int64, ok bool) {
	s := scanner{text: text}
	year := s.number(4)
	if s.bad || year == 0 {
		return 0, 0, false
	}
	month, dayOfMonth := 1, 1
	switch {
	case s.done():
		return civil(year, 1, 1), civil(year+1, 1, 1) - 1, kind != definition.Instant
	case !s.skip('-'):
		return 0, 0, false
	}
	month = s.number(2)
	if s.bad || month < 1 || month > 12 {
		return 0, 0, false
	}
	switch {
	case s.done():
		start = civil(year, month, 1)
		if month == 12 {
			year, month = year+1, 0
		}
		return start, civil(year, month+1, 1) - 1, kind != definition.Instant
	case !s.skip('-'):
		return 0, 0, false
	}
	dayOfMonth = s.number(2)
	if s.bad || dayOfMonth < 1 || dayOfMonth > daysIn(year, month) {
		return 0, 0, false
	}
	start = civil(year, month, dayOfMonth)
	if s.done() {
		return start, start + day - 1, kind != definition.Instant
	}
	if kind == definition.Date || !s.skip('T') {
		return 0, 0, false
	}
	return s.clock(start)
}

// clock reads the time of day and the offset, to the end of the text.
func (s *scanner) clock(midnight int64) (start, end int64, ok bool) {
	h := s.number(2)
	s.want(':')
	m := s.number(2)
	s.want(':')
	sec := s.number(2)
	if s.bad || h > 23 || m > 59 || sec > 60 {
		return 0, 0, false
	}
	start = midnight + int64(h)*hour + int64(m)*minute + int64(sec)*second
	unit := second
	if s.skip('.') {
		digits := 0
		for ; s.at < len(s.text) && isDigit(s.text[s.at]); s.at++ {
			digits++
			if unit > 1 { // places below a microsecond are cut off
				unit /= 10
				start += int64(s.text[s.at]-'0') * unit
			}
		}
		if digits == 0 {
			return 0, 0, false
		}
	}
	end = start + unit - 1
	if sec == 60 {
		start = midnight + int64(h)*hour + int64(m+1)*minute - 1
		end = start
	}
	offset, ok := s.offset()
	if !ok || !s.done() {
		return 0, 0, false
	}
	return start - offset, end - offset, true
}

// offset reads "Z", "+05:30" or nothing; up to 14 hours.
func (s *scanner) offset() (int64, bool) {
	if s.done() || s.skip('Z') {
		return 0, true
	}
	sign := int64(1)
	switch {
	case s.skip('+'):
	case s.skip('-'):
		sign = -1
	default:
		return 0, false
	}
	h := s.number(2)
	s.want(':')
	m := s.number(2)
	if s.bad || m > 59 || h > 14 || h == 14 && m > 0 {
		return 0, false
	}
	return sign * (int64(h)*hour + int64(m)*minute), true
}

// scanner reads the parts of a date.
type scanner struct {
	text []byte
	at   int
	bad  bool
}

func (s *scanner) done() bool { return s.at == len(s.text) }

// number reads exactly n digits.
func (s *scanner) number(n int) int {
	if s.at+n > len(s.text) {
		s.bad = true
		return 0
	}
	v := 0
	for _, c := range s.text[s.at : s.at+n] {
		if !isDigit(c) {
			s.bad = true
			return 0
		}
		v = v*10 + int(c-'0')
	}
	s.at += n
	return v
}

func (s *scanner) skip(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func (s *scanner) want(c byte) {
	if !s.skip(c) {
		s.bad = true
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// civil is the midnight of a day of the proleptic Gregorian calendar, in
// microseconds since 1970, for years from 1 on.
func civil(year, month, dayOfMonth int) int64 {
	// Count from 1 March, so that the leap day ends a year.
	y, m := year, month-3
	if m < 0 {
		y, m = y-1, m+12
	}
	era := y / 400
	yearOfEra := y - era*400
	dayOfYear := (153*m+2)/5 + dayOfMonth - 1
	dayOfEra := yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear
	return int64(era*146097+dayOfEra-719468) * day
}

func daysIn(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
