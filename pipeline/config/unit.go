package config

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	durationForm = regexp.MustCompile(`^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d|w))+$`)
	durationPart = regexp.MustCompile(`(\d+(?:\.\d+)?)(ms|s|m|h|d|w)`)
	sizeForm     = regexp.MustCompile(`^(\d+(?:\.\d+)?) ?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$`)

	errRange = errors.New("is too large")
	errForm  = errors.New("has the wrong form")
)

// ParseDuration reads "10m", "36h", "7d", "1h30m". A day is 24 hours and a week
// seven days, whatever the clocks do.
func ParseDuration(text string) (time.Duration, error) {
	if !durationForm.MatchString(text) {
		return 0, errForm
	}
	unit := map[string]time.Duration{
		"ms": time.Millisecond, "s": time.Second, "m": time.Minute,
		"h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour,
	}
	var sum float64
	for _, part := range durationPart.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseFloat(part[1], 64)
		if err != nil {
			return 0, errRange
		}
		sum += n * float64(unit[part[2]])
	}
	if sum >= math.MaxInt64 {
		return 0, errRange
	}
	return time.Duration(math.Round(sum)), nil
}

// ParseSize reads "256MiB" or "2GB" as bytes. Units are powers of 1024 with an
// i and powers of 1000 without.
func ParseSize(text string) (int64, error) {
	m := sizeForm.FindStringSubmatch(text)
	if m == nil {
		return 0, errForm
	}
	n, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return 0, errRange
	}
	base := 1000.0
	if strings.Contains(m[2], "i") {
		base = 1024
	}
	n *= math.Pow(base, float64(strings.Index("BKMGT", m[2][:1])))
	if n >= math.MaxInt64 {
		return 0, errRange
	}
	return int64(math.Round(n)), nil
}

// sizeText writes a whole number of KiB, MiB or GiB as ParseSize reads it.
func sizeText(n int64) string {
	unit := 0
	for ; unit < 3 && n%1024 == 0; unit++ {
		n /= 1024
	}
	return strconv.FormatInt(n, 10) + [...]string{"B", "KiB", "MiB", "GiB"}[unit]
}
