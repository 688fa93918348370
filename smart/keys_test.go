package smart

import (
	"slices"
	"testing"
	"time"
)

func kids(ks Keys) []string {
	var out []string
	for _, k := range ks {
		out = append(out, k.ID())
	}
	return out
}

// P3: publish, wait for max-age, sign with the successor, retire the old key after its
// last assertion.
func TestP3Rotation(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	a, b, c := must(GenerateECKeyPair("a")), must(GenerateECKeyPair("b")), must(GenerateECKeyPair("c"))
	other := rsaKey()
	set := must(Keys{a, other}.Rotate(b, start, time.Hour))

	signs := func(set Keys, after time.Duration) string {
		t.Helper()
		k, err := set.SigningKey(t.Context(), start.Add(after), []string{ES384})
		if err != nil {
			t.Fatal(err)
		}
		return k.ID()
	}
	for _, want := range []struct {
		after     time.Duration
		signs     string
		published []string
	}{
		{0, "a", []string{"a", "rsa", "b"}},
		{time.Hour - time.Second, "a", []string{"a", "rsa", "b"}},
		{time.Hour, "b", []string{"a", "rsa", "b"}},
		{time.Hour + maxAssertionLifetime, "b", []string{"a", "rsa", "b"}},
		{time.Hour + assertionGrace, "b", []string{"rsa", "b"}},
	} {
		if got := signs(set, want.after); got != want.signs {
			t.Errorf("after %v: %s signs, want %s", want.after, got, want.signs)
		}
		if got := kids(set.Published(start.Add(want.after))); !slices.Equal(got, want.published) {
			t.Errorf("after %v: published %v, want %v", want.after, got, want.published)
		}
	}
	// The next rotation leaves out what is retired, and the first set is unchanged.
	next := must(set.Rotate(c, start.Add(2*time.Hour), time.Hour))
	if got, want := kids(next), []string{"rsa", "b", "c"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !a.NotAfter().IsZero() || !set.Find("b").NotAfter().IsZero() {
		t.Errorf("a rotation changed its receiver")
	}
	_, err := set.Rotate(must(GenerateECKeyPair("b")), start, 0)
	wantError(t, err, "auth", `"b" is taken`, "another kid")
}

func TestP5KeysChooseByAlgorithm(t *testing.T) {
	set := Keys{rsaKey(), ecKey()}
	for _, c := range []struct {
		algs []string
		want string
	}{
		{[]string{RS384, ES384}, "rsa"},
		{[]string{ES384, RS384}, "ec"},
		{[]string{"PS384"}, "rsa"},
		{[]string{"ES256", ES384}, "ec"},
	} {
		k, err := set.SigningKey(t.Context(), time.Now(), c.algs)
		if err != nil || k.ID() != c.want || !slices.Contains(c.algs, k.Algorithm()) {
			t.Errorf("%v: got %v, %v; want %s", c.algs, k, err, c.want)
		}
	}
	_, err := set.SigningKey(t.Context(), time.Now(), []string{"ES256"})
	wantError(t, err, "auth", "no key for ES256 (there is RS384, ES384)", "Register")
}

// Two rotations within one second, the resolution of the times: the last one holds.
func TestP3RotationsInOneSecond(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	a := must(GenerateECKeyPair("a"))
	set := must(must(Keys{a}.Rotate(must(a.Successor("b")), now, 0)).Rotate(must(a.Successor("c")), now.Add(time.Second/2), 0))
	set = must(ParseKeys(must(set.PrivateJWKS()))) // as a file keeps them
	for after, want := range map[time.Duration]string{0: "b", time.Second: "c", time.Hour: "c"} {
		if k := must(set.SigningKey(t.Context(), now.Add(after), []string{ES384})); k.ID() != want {
			t.Errorf("after %v: %s signs, want %s", after, k.ID(), want)
		}
	}
}

// A rotation under way ends early: the successor signs at once, and the old key stays published
// for its last assertion.
func TestP3HurriedRotation(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	a, other := must(GenerateECKeyPair("a")), rsaKey()
	set := must(Keys{a, other}.Rotate(must(a.Successor("b")), start, 48*time.Hour))
	now := start.Add(time.Hour + time.Second/2)
	hurried := must(ParseKeys(must(set.Hurry(now).PrivateJWKS()))) // as a file keeps them
	for _, c := range []struct {
		after     time.Duration
		published []string
	}{
		{0, []string{"a", "rsa", "b"}}, {maxAssertionLifetime, []string{"a", "rsa", "b"}}, {assertionGrace, []string{"rsa", "b"}},
	} {
		at := now.Add(c.after)
		if k := must(hurried.SigningKey(t.Context(), at, []string{ES384})); k.ID() != "b" {
			t.Errorf("after %v: %s signs", c.after, k.ID())
		}
		if got := kids(hurried.Published(at)); !slices.Equal(got, c.published) {
			t.Errorf("after %v: published %v, want %v", c.after, got, c.published)
		}
	}
	if k := must(set.SigningKey(t.Context(), now, []string{ES384})); k.ID() != "a" {
		t.Error("the receiver was changed")
	}
	// Nothing waits: nothing changes.
	if again := hurried.Hurry(now.Add(time.Minute)); !slices.Equal(again, hurried) {
		t.Errorf("got %v", again)
	}
	// Of two within a second of the key that signs, the successor holds.
	quick := must(must(Keys{a}.Rotate(must(a.Successor("b")), now, 0)).Rotate(must(a.Successor("c")), now, time.Hour)).Hurry(now)
	if k := must(quick.SigningKey(t.Context(), now.Add(time.Second), []string{ES384})); k.ID() != "c" {
		t.Errorf("%s signs, want the last successor", k.ID())
	}
}
