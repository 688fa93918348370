package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"time"
)

// killCampaign kills the process of one run again and again, and then lets it
// publish.
func killCampaign(ctx context.Context, o options) (err error) {
	if err := prepare(ctx, o); err != nil {
		return err
	}
	kills := max(o.kills, 1)
	s := scenario{
		Seed: max(o.seed, 1), Mode: bulk, Types: []string{"Patient", "Observation", "Encounter", "Condition", "Practitioner", "Organization"},
		Compression: "gzip", Downloads: 2, OnMismatch: "fail", Patients: max(o.patients, 60+8*kills), Export: 300 * time.Millisecond, FileSize: 12 << 10, PageSize: 50,
	}
	r := rand.New(rand.NewPCG(s.Seed, 0x6b696c6c))
	t, err := newSite(ctx, o, s, filepath.Join(o.dir, "kills"))
	if err != nil {
		return err
	}
	defer func() {
		if cerr := t.close(); err == nil {
			err = cerr
		}
	}()
	want, err := truth(t.data, s.Types)
	if err != nil {
		return err
	}
	w := watch(filepath.Join(t.out, jobName), func() {}, t.violate)
	begun := time.Now()
	res := &result{scenario: s, dir: t.dir}
	killed, where := 0, map[string]int{}
	var end *try
	for end == nil {
		var list []fault
		if killed < kills {
			list = []fault{drawKill(r, killed, kills)}
		}
		t.injector.arm(list)
		p, err := t.runOnce(ctx)
		if err != nil {
			return err
		}
		res.tries = append(res.tries, p)
		w.look()
		switch {
		case p.Killed:
			killed++
			where[p.last]++
		default:
			end = p
		}
	}
	looked := w.close()
	if end.Code != 0 {
		t.violate(fmt.Sprintf("after %d kills the run ended with exit code %d: %s", killed, end.Code, end.Summary))
	} else if err := t.examine(res, filepath.Join(t.out, jobName, "latest"), want); err != nil {
		t.violate(err.Error())
	}
	if killed < kills {
		t.violate(fmt.Sprintf("the run published after %d kills already", killed))
	}
	m, err := readManifest(filepath.Join(t.out, jobName, "latest"))
	if err != nil {
		return err
	}
	fmt.Printf("%d kills in a row during one run of %d files and %d resources, then published: %d lost, %d foreign or twice\n",
		killed, t.kickoffs.files, res.verdict.Resources, res.verdict.Lost, res.verdict.Foreign)
	fmt.Printf("taken up %d times; kick-offs: %d sent, %d accepted, %d repeated while a status URL was known\n",
		m.Stats.Resumed, t.kickoffs.sent, t.kickoffs.accepted, t.kickoffs.repeated)
	fmt.Printf("killed when the last event was: %v\n%d looks at the destination; %.0f s\n", where, looked, time.Since(begun).Seconds())
	if t.kickoffs.repeated > 0 {
		t.violate("I4: a kick-off was repeated while a status URL was known")
	}
	for _, v := range t.violations {
		fmt.Println("VIOLATION:", v)
	}
	if len(t.violations) > 0 {
		return fmt.Errorf("the run was not survived; its folder is %s", t.dir)
	}
	return nil
}

// drawKill draws where a process dies: somewhere in its first requests for files
// most often, and towards the end also in what follows them.
func drawKill(r *rand.Rand, done, of int) fault {
	f := fault{Kind: "kill -9", Times: 1}
	switch n := r.IntN(10); {
	case n < 2:
		f.On, f.Delay = killAfter, time.Duration(20+r.IntN(200))*time.Millisecond
	case n < 4 && done > 0:
		f.On = killOn + pick(r, "planned", "authorized", "landing")
	case done < 3:
		f.On, f.How = pick(r, onStatus, onKickoff, onToken, onMetadata), pick(r, "before", "within", "after")
	case done == of-1: // nothing is left to kill when this one comes late
		f.On = killOn + "publishing"
	case done > of*9/10:
		f.On = killOn + pick(r, "converting", "landing")
	default:
		f.On, f.How, f.Skip = onFile, pick(r, "before", "within", "after"), r.IntN(4)
	}
	return f
}
