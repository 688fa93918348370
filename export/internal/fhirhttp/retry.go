package fhirhttp

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Waits bound the time between two attempts or two polls.
type Waits struct {
	Min time.Duration // 0 means 1 s
	Max time.Duration // 0 means 5 min; a longer Retry-After is cut to it
}

func (w Waits) bounds() (lo, hi time.Duration) {
	lo, hi = w.Min, w.Max
	if lo <= 0 {
		lo = time.Second
	}
	if hi <= 0 {
		hi = 5 * time.Minute
	}
	return lo, max(lo, hi)
}

// Next is how long to wait after the attempt (from 0): what Retry-After asks for,
// clamped (F20), else an exponential back-off (P24). random, in [0,1), spreads
// clients: it lengthens a Retry-After by up to a tenth, and shortens one that was
// cut, and a back-off by up to half.
func (w Waits) Next(now time.Time, attempt int, retryAfter string, random float64) time.Duration {
	lo, hi := w.bounds()
	if d, ok := RetryAfter(retryAfter, now); ok {
		d = max(d, lo)
		if d >= hi {
			return hi - time.Duration(random*float64(hi-lo)/10)
		}
		return min(hi, d+time.Duration(random*float64(d)/10))
	}
	d := hi
	if attempt < 62 && lo <= hi>>max(attempt, 0) {
		d = lo << max(attempt, 0)
	}
	return max(lo, d-time.Duration(random*float64(d)/2))
}

// RetryAfter reads a Retry-After header: seconds, also with a fraction, an
// HTTP-date, or the epoch seconds and milliseconds that some servers send. A
// time in the past is 0. ok is false when the header is missing or unreadable.
func RetryAfter(header string, now time.Time) (d time.Duration, ok bool) {
	s := strings.TrimSpace(header)
	if s == "" {
		return 0, false
	}
	if strings.Trim(s, "0123456789.eE+-") == "" {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return 0, false
		}
		const epochSeconds, epochMillis = 1e9, 1e11 // 31 years and 3,170 years are no waiting times
		switch {
		case f <= 0:
			return 0, true
		case f >= epochMillis:
			f = f/1e3 - float64(now.UnixMilli())/1e3
		case f >= epochSeconds:
			f -= float64(now.UnixMilli()) / 1e3
		}
		if f <= 0 {
			return 0, true
		}
		return time.Duration(min(f, 1e9) * float64(time.Second)), true
	}
	t, err := http.ParseTime(s)
	if err != nil {
		return 0, false
	}
	return max(0, t.Sub(now)), true
}
