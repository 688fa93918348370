package smart

import "testing"

// BenchmarkToken is a cached token: what each request of a run costs.
func BenchmarkToken(b *testing.B) {
	c := newClient(&endpoint{})
	if _, err := c.Token(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Token(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		ctx := b.Context()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := c.Token(ctx); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkAssertion is one signed JWT: RSA with 2048 bits, and P-384.
func BenchmarkAssertion(b *testing.B) {
	for _, k := range []*Key{rsaKey(), ecKey()} {
		b.Run(k.Algorithm(), func(b *testing.B) {
			c := newClient(nil)
			c.Keys = k
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Assertion(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
