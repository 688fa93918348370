package smart

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// Keys is a set of keys of one client, the older first: during a rotation two of
// them, or one for each algorithm.
type Keys []*Key

// JWKS is the public half of the whole set.
func (ks Keys) JWKS() JWKS {
	set := JWKS{Keys: make([]JWK, 0, len(ks))}
	for _, k := range ks {
		set.Keys = append(set.Keys, k.PublicJWK())
	}
	return set
}

// Published are the keys that belong in the registered set at this instant:
// all but the retired ones.
func (ks Keys) Published(at time.Time) Keys {
	return slices.DeleteFunc(slices.Clone(ks), func(k *Key) bool { return !k.notAfter.IsZero() && !at.Before(k.notAfter) })
}

// SigningKey implements [KeySource]. Of the keys whose time has come (NotBefore) and
// that are not retired (NotAfter), it takes the first algorithm that any can
// sign with, and for that the newest key. When several keys are equally new the
// earlier in the set wins.
func (ks Keys) SigningKey(_ context.Context, at time.Time, algorithms []string) (*Key, error) {
	usable := ks.Published(at)
	usable = slices.DeleteFunc(usable, func(k *Key) bool { return at.Before(k.notBefore) })
	slices.SortStableFunc(usable, func(a, b *Key) int { return b.notBefore.Compare(a.notBefore) })
	for _, alg := range algorithms {
		for _, k := range usable {
			if bound := k.bind([]string{alg}); bound != nil {
				return bound, nil
			}
		}
	}
	return nil, noKeyFor(ks, algorithms)
}

// For returns the set with each key as it signs with the algorithm, where it can: an
// RSA key is for RS384 unless it is bound to another. It is what to publish where
// Client.Algorithm names an algorithm, since servers choose a key by kid and alg (RFC 7517
// section 4.4). "auto" and "" change nothing.
func (ks Keys) For(algorithm string) Keys {
	out := slices.Clone(ks)
	for i, k := range ks {
		if bound := k.bind([]string{algorithm}); bound != nil {
			out[i] = bound
		}
	}
	return out
}

// Find returns the key with this kid, or nil.
func (ks Keys) Find(kid string) *Key {
	for _, k := range ks {
		if k.kid == kid {
			return k
		}
	}
	return nil
}

// assertionGrace is how long an old key stays published after the last
// assertion that it may have signed: an assertion's longest life and a minute.
const assertionGrace = maxAssertionLifetime + time.Minute

// Rotate adds a successor without a gap (P3): it is published from now on, and it
// signs once every server has had maxAge, the Cache-Control of the key set, to
// fetch it. The keys of the same algorithm sign until then; they stay published until
// their last assertion has ended, and keys that have reached that point are left
// out. With a set that is registered inline, pass as maxAge the time that a person needs
// to register both.
//
// The receiver is not changed. Save the result with [SaveKeys].
func (ks Keys) Rotate(successor *Key, now time.Time, maxAge time.Duration) (Keys, error) {
	if maxAge < 0 {
		maxAge = 0
	}
	next := ks.Published(now)
	if next.Find(successor.kid) != nil {
		return nil, &Error{
			Op: "rotate keys", Err: fmt.Errorf("kid %q is taken", clean(successor.kid)), kind: lasting,
			hint: "Give the successor another kid, or none: then it is its thumbprint.",
		}
	}
	takeover := now.Add(maxAge).Truncate(time.Second)
	for _, k := range next {
		if k.alg.name == successor.alg.name && !takeover.After(k.notBefore) {
			takeover = k.notBefore.Add(time.Second) // of two equally new keys the older would sign
		}
	}
	for i, k := range next {
		if k.alg.name != successor.alg.name {
			continue
		}
		old := *k
		old.notAfter = cmp.Or(old.notAfter, takeover.Add(assertionGrace))
		next[i] = &old
	}
	s := *successor
	s.notBefore = takeover
	return append(next, &s), nil
}

// Hurry lets the successors that wait sign from now on, where a rotation is to end early:
// the old key is known to others, or every server knows the new one already. The keys that
// they replace stay published until their last assertion has ended.
//
// The receiver is not changed. Save the result with [SaveKeys].
func (ks Keys) Hurry(now time.Time) Keys {
	next := slices.Clone(ks)
	for i, k := range next {
		if !now.Before(k.notBefore) {
			continue
		}
		takeover := now.Truncate(time.Second)
		for _, other := range next[:i] {
			if other.alg.name == k.alg.name && !takeover.After(other.notBefore) && other.notBefore.Before(k.notBefore) {
				takeover = other.notBefore.Add(time.Second) // of two equally new keys the older would sign
			}
		}
		for j, other := range next[:i] {
			if end := takeover.Add(assertionGrace); other.alg.name == k.alg.name && end.Before(other.notAfter) {
				old := *other
				old.notAfter = end
				next[j] = &old
			}
		}
		successor := *k
		successor.notBefore = takeover
		next[i] = &successor
	}
	return next
}
