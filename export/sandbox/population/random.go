package population

import "math/bits"

// random is a small generator whose sequence is part of the population's
// definition; the standard library promises less about its own.
type random struct{ state uint64 }

// newRandom starts the sequence of one thing: the same keys, the same sequence.
func newRandom(keys ...uint64) random {
	state := uint64(0x243f6a8885a308d3)
	for _, k := range keys {
		state = mix(state ^ mix(k+0x9e3779b97f4a7c15))
	}
	return random{state}
}

// mix is the finalizer of splitmix64.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	return mix(r.state)
}

// intn is a number from 0 to n-1.
func (r *random) intn(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// between is a number from lo to hi, both included.
func (r *random) between(lo, hi int) int { return lo + r.intn(hi-lo+1) }

// percent is true in p of 100 cases.
func (r *random) percent(p int) bool { return r.intn(100) < p }

// pick is one of the items.
func pick[T any](r *random, items []T) T { return items[r.intn(len(items))] }

const hexDigits = "0123456789abcdef"

// uuid is an id in the form of a UUID, version 4.
func (r *random) uuid() string {
	hi, lo := r.next(), r.next()
	hi = hi&^0xf000 | 0x4000
	lo = lo&^(0xc0<<56) | 0x80<<56
	var b [36]byte
	at := 0
	for i := range 32 {
		if i == 8 || i == 12 || i == 16 || i == 20 {
			b[at] = '-'
			at++
		}
		half := hi
		if i >= 16 {
			half = lo
		}
		b[at] = hexDigits[half>>(60-4*(i%16))&15]
		at++
	}
	return string(b[:])
}
