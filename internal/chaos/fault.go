package main

import (
	"math/rand/v2"
	"time"
)

// fault is one thing that goes wrong: the requests of a pattern that it strikes,
// and how.
type fault struct {
	Kind  string `json:"kind"`
	On    string `json:"on"`             // pattern of the requests, any for all; or an event, see killOn
	Skip  int    `json:"skip,omitempty"` // requests or events that pass first
	Times int    `json:"times"`          // requests that it strikes then

	How        string        `json:"how,omitempty"` // variant of the kind
	Status     int           `json:"status,omitempty"`
	RetryAfter string        `json:"retryAfter,omitempty"`
	At         float64       `json:"at,omitempty"`    // place in a body, as a share of it
	Delay      time.Duration `json:"delay,omitempty"` // ns
}

// any is every pattern.
const anyRequest = "any"

// faultKind is a row of the campaign's table.
type faultKind struct {
	name   string
	search bool // it can strike paged searches, too
	// codes are exit codes that the kind explains beside 0 and 1.
	codes []int
	draw  func(r *rand.Rand, s *scenario) []fault
}

// kindOf finds a kind by its name.
func kindOf(name string) faultKind {
	for _, k := range faultKinds() {
		if k.name == name {
			return k
		}
	}
	return faultKind{name: name}
}

// faultKinds is the table of what can go wrong. Its order decides what a seed
// draws.
func faultKinds() []faultKind {
	return []faultKind{
		{name: "401 revoked", search: true, draw: func(r *rand.Rand, s *scenario) []fault {
			list := []fault{{On: anyRequest, Skip: 4 + r.IntN(8), Times: 1}}
			if r.IntN(2) == 0 {
				list = append(list, fault{On: anyRequest, Skip: r.IntN(6), Times: 1})
			}
			return list
		}},
		{name: "429", search: true, draw: statuses(429, "")},
		{name: "429 Retry-After", search: true, draw: statuses(429, "yes")},
		{name: "500", search: true, codes: []int{4}, draw: statuses(500, "")},
		{name: "503", search: true, draw: statuses(503, "")},
		{name: "503 Retry-After", search: true, draw: statuses(503, "yes")},
		{name: "reset", search: true, draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: anyRequest, Skip: r.IntN(10), Times: 1 + r.IntN(3)}}
		}},
		{name: "answer lost", search: true, draw: func(r *rand.Rand, s *scenario) []fault {
			if s.Mode == search {
				return []fault{{On: onSearch, Skip: r.IntN(6), Times: 1 + r.IntN(2)}}
			}
			return []fault{{On: pick(r, onKickoff, onKickoff, onStatus, onFile), Times: 1}}
		}},
		{name: "truncated", search: true, draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: bodies(s), Skip: r.IntN(4), Times: 1 + r.IntN(4), At: r.Float64()}}
		}},
		{name: "cut short", draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: onFile, Skip: r.IntN(4), Times: 1 + r.IntN(2), At: r.Float64()}}
		}},
		{name: "stall", search: true, draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: bodies(s), Skip: r.IntN(4), Times: 1, At: r.Float64()}}
		}},
		{name: "trickle", draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: onFile, Skip: r.IntN(4), Times: 1, At: r.Float64()}}
		}},
		{name: "slow body", search: true, draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: bodies(s), Skip: r.IntN(3), Times: 1 + r.IntN(3), Delay: time.Duration(300+r.IntN(900)) * time.Millisecond}}
		}},
		{name: "content type", draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: onFile, Skip: r.IntN(4), Times: 1 + r.IntN(4), How: pick(r, "text/html", "application/octet-stream", "none")}}
		}},
		{name: "HTML page", search: true, codes: []int{3, 4}, draw: func(r *rand.Rand, s *scenario) []fault {
			f := fault{On: bodies(s), Skip: r.IntN(4), Times: 1 + r.IntN(2)}
			switch r.IntN(6) {
			case 0:
				f.Times = 40 // a maintenance that one process does not wait for
			case 1:
				f = fault{On: pick(r, onMetadata, onToken), Times: 1}
			case 2:
				if s.Mode == bulk {
					f = fault{On: onStatus, Times: 1 + r.IntN(8)}
				}
			}
			return []fault{f}
		}},
		{name: "corrupt gzip", draw: func(r *rand.Rand, s *scenario) []fault {
			s.NoGzip = false
			return []fault{{On: onFile, Skip: r.IntN(4), Times: 1 + r.IntN(2), At: 0.1 + 0.8*r.Float64()}}
		}},
		{name: "corrupt line", codes: []int{5}, draw: func(r *rand.Rand, s *scenario) []fault {
			s.MaxBadLines = r.IntN(2)
			return []fault{{On: onFile, Skip: r.IntN(3), Times: 1, At: r.Float64()}}
		}},
		{name: "count lie", codes: []int{5}, draw: func(r *rand.Rand, s *scenario) []fault {
			s.OnMismatch = pick(r, "fail", "warn")
			return []fault{{On: onManifest, Times: 1, At: r.Float64(), How: pick(r, "more", "less")}}
		}},
		{name: "duplicate file", draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: onManifest, Times: 1, At: r.Float64(), How: pick(r, "same URL", "other URL")}}
		}},
		{name: "expired link", draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: onFile, Skip: 1 + r.IntN(4), Times: 1 + r.IntN(2), Status: pick(r, 410, 404, 403)}}
		}},
		{name: "redirect", draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: onFile, Skip: r.IntN(3), Times: 1 + r.IntN(8), Status: pick(r, 302, 307, 308)}}
		}},
		{name: "token endpoint down", search: true, codes: []int{3}, draw: func(r *rand.Rand, s *scenario) []fault {
			f := fault{On: onToken, Times: 1 + r.IntN(3), Status: pick(r, 500, 502, 503), How: pick(r, "status", "status", "reset")}
			if r.IntN(4) == 0 {
				f.Times = 6 // more than one process is patient for
			}
			return []fault{f}
		}},
		{name: "clock skew", search: true, codes: []int{3}, draw: func(r *rand.Rand, s *scenario) []fault {
			d := time.Duration(2+r.IntN(20)) * time.Minute
			if r.IntN(2) == 0 {
				d = -d
			}
			return []fault{{On: anyRequest, Skip: r.IntN(6), Times: 1, Delay: d}}
		}},
		{name: "manifest loop", codes: []int{4}, draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: onManifest, Times: pick(r, 1, 1, 8)}}
		}},
		{name: "export lost", codes: []int{4}, draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: onStatus, Skip: r.IntN(2), Times: 1}}
		}},
		{name: "server down", search: true, codes: []int{3}, draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: anyRequest, Skip: r.IntN(10), Times: 1, Delay: time.Duration(200+r.IntN(2500)) * time.Millisecond}}
		}},
		{name: "disk full", search: true, draw: func(r *rand.Rand, s *scenario) []fault {
			return []fault{{On: onDisk, Skip: 3 + r.IntN(10), Times: 1, How: pick(r, "destination", "spool", "all")}}
		}},
		{name: "kill -9", search: true, draw: drawKills},
	}
}

// bodies is the pattern of the requests that bring the data.
func bodies(s *scenario) string {
	if s.Mode == search {
		return onSearch
	}
	return onFile
}

// statuses draws an error status for some kind of request.
func statuses(status int, retryAfter string) func(*rand.Rand, *scenario) []fault {
	return func(r *rand.Rand, s *scenario) []fault {
		on := pick(r, onFile, onFile, onStatus, onKickoff, onDelete, onMetadata)
		if s.Mode == search {
			on = pick(r, onSearch, onSearch, onMetadata)
		}
		f := fault{On: on, Status: status, Times: 1 + r.IntN(3), How: pick(r, "outcome", "html", "empty")}
		if on == onFile || on == onSearch {
			f.Skip = r.IntN(5)
			if r.IntN(5) == 0 {
				f.Times = 25 // more than one process is patient for
			}
		}
		if on == onStatus {
			f.Skip = r.IntN(2)
			f.Times = pick(r, 1, 2, 8)
		}
		if retryAfter != "" {
			f.RetryAfter = pick(r, "0", "1", "date", "past", "-5", "soon", "epoch-ms")
		}
		return []fault{f}
	}
}

// drawKills draws the instants at which the process is killed.
func drawKills(r *rand.Rand, s *scenario) []fault {
	var list []fault
	for range 1 + r.IntN(4) {
		f := fault{Times: 1}
		switch r.IntN(4) {
		case 0:
			f.On = killOn + pick(r, "planned", "authorized", "exporting", "landing", "converting", "publishing", "type", "visible", "visible")
			if s.Mode == bulk && r.IntN(3) == 0 {
				f.On = killOn + pick(r, "kicked_off", "poll")
			}
		case 1:
			f.On, f.Delay = killAfter, time.Duration(50+r.IntN(2000))*time.Millisecond
		default:
			f.On = pick(r, onSearch, onSearch, onSearch, onToken, onMetadata)
			if s.Mode == bulk {
				f.On = pick(r, onFile, onFile, onFile, onFile, onKickoff, onStatus, onDelete, onToken, onMetadata)
			}
			f.How = pick(r, "before", "within", "after")
			if f.On == onFile || f.On == onSearch {
				f.Skip = r.IntN(8)
			}
		}
		list = append(list, f)
	}
	return list
}
