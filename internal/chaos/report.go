package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// row is a line of the table: what became of one kind of fault.
type row struct {
	injected, survived int
	seeds              int
	within             int         // the same process went on and published
	resumed            int         // the process failed with exit code 1, and the next one went on
	killed             int         // the process was killed, by this fault or another
	refused            map[int]int // the run was given up by exit code, and the next one published
}

// how says how a kind of fault was survived.
func (r *row) how() string {
	var parts []string
	add := func(n int, text string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, text))
		}
	}
	add(r.within, "within the process")
	add(r.resumed, "by the next one (exit 1)")
	add(r.killed, "by the next one (killed)")
	for code := range 65 {
		add(r.refused[code], fmt.Sprintf("refused (exit %d), then a clean run", code))
	}
	return strings.Join(parts, ", ")
}

// report prints the table and the totals; its error says that something was not
// survived.
func report(out io.Writer, o options, results []*result, took time.Duration) error {
	rows := map[string]*row{}
	for _, k := range faultKinds() {
		rows[k.name] = &row{refused: map[int]int{}}
	}
	var lost, foreign, resources, repeated, sent, accepted, violated, tries, noDisk, half, deltas int
	var ambiguous, looked int64
	var unknown []string
	for _, r := range results {
		seen := map[string]bool{}
		for _, k := range r.strikes {
			row := rows[k.kind]
			row.injected++
			if !seen[k.kind] {
				seen[k.kind] = true
				row.seeds++
			}
			if !r.ok() || k.try < 1 || k.try > len(r.tries) {
				continue
			}
			row.survived++
			switch t := r.tries[k.try-1]; {
			case t.Killed:
				row.killed++
			case t.Code == 0:
				row.within++
			case t.Code == 1:
				row.resumed++
			default:
				row.refused[t.Code]++
			}
		}
		lost, foreign, resources = lost+r.verdict.Lost, foreign+r.verdict.Foreign, resources+r.verdict.Resources
		repeated, sent, accepted = repeated+r.repeated, sent+r.sent, accepted+r.accepted
		tries, ambiguous, looked = tries+len(r.tries), ambiguous+r.ambiguous, looked+r.looked
		deltas += r.deltas
		if r.ambiguous > 0 {
			unknown = append(unknown, fmt.Sprintf("%d×%d", r.scenario.Seed, r.ambiguous))
		}
		if r.noDisk {
			noDisk++
		}
		if !r.ok() {
			violated++
		}
		for _, v := range r.violations {
			if strings.HasPrefix(v, "I1:") {
				half++
			}
		}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\tinjected\tin seeds\tsurvived\thow")
	for _, k := range faultKinds() {
		r := rows[k.name]
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\n", k.name, r.injected, r.seeds, r.survived, r.how())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%d seeds, %d second runs after a change, %d processes, %d resources: %d lost, %d foreign or twice, %d half-visible snapshots in %d looks\n",
		len(results), deltas, tries, resources, lost, foreign, half, looked)
	fmt.Fprintf(out, "kick-offs: %d sent, %d accepted, %d repeated while a status URL was known, %d ambiguous", sent, accepted, repeated, ambiguous)
	if len(unknown) > 0 {
		fmt.Fprintf(out, " (seed×times: %s)", strings.Join(unknown, " "))
	}
	fmt.Fprintf(out, "\n%.0f s", took.Seconds())
	if noDisk > 0 {
		fmt.Fprintf(out, "; no disk could be filled in %d seeds: mounting one needs root", noDisk)
	}
	fmt.Fprintln(out)
	if violated > 0 {
		return fmt.Errorf("%d of %d seeds were not survived", violated, len(results))
	}
	if o.seeds >= 200 && o.seed == 0 {
		for _, k := range faultKinds() {
			if rows[k.name].injected < 10 && !(k.name == "disk full" && noDisk > 0) {
				return fmt.Errorf("%q was injected %d times, want at least 10", k.name, rows[k.name].injected)
			}
		}
	}
	return nil
}
