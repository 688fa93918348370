package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/flue-fhir/flue/smart"
)

// hurryRotation ends a rotation under way early: the successor signs from now on.
func (a *app) hurryRotation(r rotation, o rotateOptions) error {
	now := a.sys.Now()
	keys, err := r.load()
	if err != nil {
		return err
	}
	var waiting *smart.Key
	for _, k := range keys {
		if now.Before(k.NotBefore()) {
			waiting = k
		}
	}
	if waiting == nil {
		return &usageError{message: "no rotation is under way: no key waits for its time", hint: "begin one that takes over at once with --max-age 0"}
	}
	old := signingKey(keys, waiting.Algorithm(), now)
	set := keys.Hurry(now)
	if err := smart.SaveKeys(r.path, set); err != nil {
		return err
	}
	next := set.Find(waiting.ID())
	v := rotationView{
		Servers: strings.Fields(r.names()), Successor: next.ID(), Algorithm: next.Algorithm(),
		SignsFrom: next.NotBefore().UTC(), Files: []string{r.path},
	}
	if old != nil {
		old = set.Find(old.ID())
		v.Replaced, v.Retires = old.ID(), old.NotAfter().UTC()
	}
	if o.asJSON {
		return a.printJSON(v)
	}
	a.say("kid %s signs from now on, also for a run under way: a server that does not know it yet refuses it", v.Successor)
	if old != nil {
		a.say("%s: kid %s is no longer needed and can be taken off the server", v.Retires.Format(time.RFC3339), v.Replaced)
	}
	_, err = fmt.Fprintln(a.sys.Stdout, r.path)
	return err
}
