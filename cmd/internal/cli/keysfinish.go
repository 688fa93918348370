package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flue-fhir/flue/smart"
)

// finishedView is the end of a rotation as programs see it.
type finishedView struct {
	Servers []string `json:"servers"`
	Removed []string `json:"removed"` // kids
	Files   []string `json:"files"`   // written
}

func (a *app) finishRotation(r rotation, o rotateOptions) error {
	now := a.sys.Now()
	keys, err := r.load()
	if err != nil {
		return err
	}
	left := keys.Published(now)
	v := finishedView{Servers: strings.Fields(r.names()), Removed: []string{}, Files: []string{}}
	for _, k := range keys {
		if left.Find(k.ID()) == nil {
			v.Removed = append(v.Removed, k.ID())
		}
	}
	for _, s := range r.servers {
		if slices.Contains(v.Removed, s.Auth.KeyID) {
			return &usageError{
				message: fmt.Sprintf("server %s names the retired kid %s as key_id", s.Name, s.Auth.KeyID),
				hint:    "the file keeps the kids itself: remove key_id from the configuration first",
			}
		}
	}
	switch {
	case len(left) == 0:
		return &usageError{message: "every key of the file is retired", hint: "make a new one with 'flue keys generate' and register it"}
	case len(v.Removed) > 0:
		if err := smart.SaveKeys(r.path, left); err != nil {
			return err
		}
		signing := left[len(left)-1]
		written, err := r.publish(keys, left, signing)
		if err != nil {
			return err
		}
		v.Files = append([]string{r.path}, written...)
	}
	if o.asJSON {
		return a.printJSON(v)
	}
	switch {
	case len(v.Removed) > 0:
		a.say("removed kid %s", strings.Join(v.Removed, ", "))
		_, err = fmt.Fprintln(a.sys.Stdout, strings.Join(v.Files, "\n"))
	default:
		a.say("no key is retired: nothing was changed")
		for _, k := range left {
			if !k.NotAfter().IsZero() {
				a.say("kid %s is needed until %s", k.ID(), k.NotAfter().UTC().Format(time.RFC3339))
			}
		}
	}
	return err
}
