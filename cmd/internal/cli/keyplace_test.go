package cli

import (
	"slices"
	"testing"
	"time"

	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/smart"
)

// P3: what the list says of two keys is what a Client does with them.
func TestP3StatesOfKeysDuringARotation(t *testing.T) {
	start := time.Unix(1_800_000_000, 0)
	old, other := must(smart.GenerateKeyPair(smart.ES384, "old")), must(smart.GenerateKeyPair("ES256", "other"))
	keys := must(smart.Keys{old, other}.Rotate(must(old.Successor("new")), start, time.Hour))
	for _, one := range []struct {
		after    time.Duration
		old, new string
	}{
		{0, keySigns, keyWaits},
		{time.Hour - time.Second, keySigns, keyWaits},
		{time.Hour, keyRetires, keySigns},
		{time.Hour + 5*time.Minute, keyRetires, keySigns},
		{time.Hour + 6*time.Minute, keyRetired, keySigns},
	} {
		now := start.Add(one.after)
		got := map[string]string{}
		for _, k := range keys {
			got[k.ID()], _ = stateOfKey(keys, k, now)
		}
		if got["old"] != one.old || got["new"] != one.new || got["other"] != keySigns {
			t.Errorf("after %v: got %v, want old %s, new %s", one.after, got, one.old, one.new)
		}
		signing := must(keys.SigningKey(t.Context(), now, []string{smart.ES384}))
		if state := got[signing.ID()]; state != keySigns {
			t.Errorf("after %v: kid %s signs and is listed as %s", one.after, signing.ID(), state)
		}
		for id, state := range got {
			if published := keys.Published(now).Find(id) != nil; published == (state == keyRetired) {
				t.Errorf("after %v: kid %s is published: %t, and listed as %s", one.after, id, published, state)
			}
		}
	}
	spare := must(smart.GenerateKeyPair(smart.ES384, "spare"))
	two := smart.Keys{keys[0], spare}
	if state, _ := stateOfKey(two, spare, start); state != keySpare {
		t.Errorf("the second of two keys: got %s, want %s", state, keySpare)
	}
}

func TestP5KeysAreMadeForTheFirstAlgorithm(t *testing.T) {
	for _, one := range []struct {
		advertised []string
		want       string
	}{
		{nil, smart.RS384},
		{[]string{"ES384", "RS384"}, smart.ES384},
		{[]string{"RS256", "RS384", "ES384"}, smart.RS384},
		{[]string{"RS256", "none"}, ""},
	} {
		got, err := firstSupported(one.advertised)
		if got != one.want || (err != nil) != (one.want == "") {
			t.Errorf("%v: got %q, %v; want %q", one.advertised, got, err, one.want)
		}
	}
}

// P11: without a job, the scopes are those of all jobs of the server.
func TestP11ScopesOfAServerAreThoseOfItsJobs(t *testing.T) {
	job := func(server, mode, level string, types ...string) config.Job {
		return config.Job{Server: server, Export: config.Export{Mode: mode, Level: level, Types: types}}
	}
	f := &config.File{Order: []string{"a", "b", "c", "d", "e"}, Jobs: map[string]config.Job{
		"a": job("s", "bulk", "system", "Observation"), "b": job("s", "bulk", "group", "Condition"),
		"c": job("s", "search", "", "Claim"), "d": job("all", "bulk", "system"), "e": job("all", "bulk", "system", "Claim"),
	}}
	for server, want := range map[string][]string{
		"s":      {"system/Observation.rs", "system/Condition.rs", "system/Claim.rs", "system/Patient.rs", "system/Group.rs"},
		"all":    {"system/*.rs"},
		"nobody": {"system/*.rs"},
	} {
		p := planServer(f, server)
		if got := smart.ForTypes(p.types, p.level, smart.ScopeOptions{V2: true, Also: p.also}); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", server, got, want)
		}
	}
}
