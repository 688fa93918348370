package main

import (
	"reflect"
	"testing"
)

func TestASeedDrawsTheSame(t *testing.T) {
	for seed := uint64(1); seed <= 50; seed++ {
		if a, b := draw(seed), draw(seed); !reflect.DeepEqual(a, b) {
			t.Fatalf("seed %d drew %+v and then %+v", seed, a, b)
		}
	}
	if reflect.DeepEqual(draw(1).Faults, draw(2).Faults) {
		t.Error("two seeds drew the same")
	}
}

// Every kind is drawn by at least ten of 200 seeds, and by one of 20.
func TestEveryKindIsDrawn(t *testing.T) {
	for seeds, least := range map[uint64]int{200: 10, 20: 1} {
		drawn, modes := map[string]int{}, map[string]int{}
		for seed := uint64(1); seed <= seeds; seed++ {
			s := draw(seed)
			modes[s.Mode]++
			kinds := map[string]bool{}
			for _, f := range s.Faults {
				kinds[f.Kind] = true
				if f.Times < 1 || f.On == "" {
					t.Errorf("seed %d drew a fault that strikes nothing: %+v", seed, f)
				}
				if s.Mode == search && !kindOf(f.Kind).search {
					t.Errorf("seed %d drew %s for a search", seed, f.Kind)
				}
			}
			for kind := range kinds {
				drawn[kind]++
			}
		}
		for _, k := range faultKinds() {
			if drawn[k.name] < least {
				t.Errorf("%d of %d seeds drew %q, want at least %d", drawn[k.name], seeds, k.name, least)
			}
		}
		if modes[bulk] <= modes[search] || modes[search] == 0 {
			t.Errorf("modes of %d seeds: %v, want mostly bulk and some searches", seeds, modes)
		}
	}
}
