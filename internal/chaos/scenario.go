package main

import (
	"math/rand/v2"
	"time"
)

// scenario is everything that a seed decides.
type scenario struct {
	Seed uint64 `json:"seed"`

	// The job.
	Mode        string   `json:"mode"`
	Types       []string `json:"types"`
	Compression string   `json:"compression"`
	Downloads   int      `json:"downloads"`
	MaxBadLines int      `json:"maxBadLines"`
	OnMismatch  string   `json:"onCountMismatch"`

	// The server.
	Patients     int           `json:"patients"`
	Export       time.Duration `json:"export"` // how long an export takes, in ns
	FileSize     int64         `json:"fileSize"`
	ManifestPage int           `json:"manifestPage"`
	PageSize     int           `json:"pageSize"`
	NoGzip       bool          `json:"noGzip,omitempty"`
	NoRange      bool          `json:"noRange,omitempty"`

	Faults []fault `json:"faults"`

	// Then, in some scenarios, something changes and the job runs again.
	Change *change `json:"change,omitempty"`
}

// bulk and search are the modes of a job.
const (
	bulk   = "bulk"
	search = "search"
)

// draw makes the scenario of a seed. Each run of as many seeds as there are
// kinds of faults has every kind twice: a campaign's length says how often each
// kind is drawn at least.
func draw(seed uint64) scenario {
	r := rand.New(rand.NewPCG(seed, 0x666c7565))
	kinds := faultKinds()
	n := int((seed - 1) % uint64(len(kinds)))
	round := int((seed - 1) / uint64(len(kinds)) % uint64(len(kinds)-1))
	chosen := []faultKind{kinds[n], kinds[(n+(len(kinds)/2+round)%(len(kinds)-1)+1)%len(kinds)]}

	s := scenario{
		Seed: seed, Mode: bulk,
		Types:       []string{"Patient", "Observation", "Encounter", "Condition", "Practitioner", "Organization"},
		Compression: pick(r, "none", "gzip", "zstd"),
		Downloads:   1 + r.IntN(4),
		OnMismatch:  "fail",
		Patients:    pick(r, 20, 40, 60),
		Export:      time.Duration(300+r.IntN(600)) * time.Millisecond,
		FileSize:    int64(pick(r, 24, 48, 96)) << 10,
		PageSize:    pick(r, 20, 50),
		NoGzip:      r.IntN(3) == 0,
		NoRange:     r.IntN(4) == 0,
	}
	if r.IntN(3) == 0 {
		s.ManifestPage = 3
	}
	if r.IntN(2) == 0 {
		extra := kinds[r.IntN(len(kinds))]
		if extra.name != chosen[0].name && extra.name != chosen[1].name {
			chosen = append(chosen, extra)
		}
	}
	searchable := true
	for _, k := range chosen {
		searchable = searchable && k.search
	}
	if searchable && r.IntN(2) == 0 {
		s.Mode = search
		s.Types = []string{"Patient", "Observation", "Encounter", "Condition"}
		s.Patients = 20
	}
	for _, k := range chosen {
		for _, f := range k.draw(r, &s) {
			f.Kind = k.name
			s.Faults = append(s.Faults, f)
		}
	}
	if r.IntN(3) == 0 {
		s.Faults = append(s.Faults, kills(r, &s)...)
	}
	if r.IntN(3) == 0 {
		s.Change = &change{Touch: 1 + r.IntN(20), Delete: r.IntN(10)}
		k := kinds[r.IntN(len(kinds))]
		for _, f := range k.draw(r, &scenario{Mode: s.Mode}) {
			// What the job's policies, or a disk, would have to be drawn for is left out.
			if fits := k.search || s.Mode == bulk; fits && f.On != onManifest && f.On != onDisk && k.name != "corrupt line" {
				f.Kind = k.name
				s.Change.Faults = append(s.Change.Faults, f)
			}
		}
		if r.IntN(2) == 0 {
			s.Change.Faults = append(s.Change.Faults, kills(r, &s)...)
		}
	}
	return s
}

// kills draws kills with their name.
func kills(r *rand.Rand, s *scenario) []fault {
	list := drawKills(r, s)
	for i := range list {
		list[i].Kind = "kill -9"
	}
	return list
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }
