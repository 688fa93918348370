package definition

import (
	_ "embed"
	"sync"
)

// The embedded descriptions, as written by generate: a deflate stream of the
// count of texts, of each its length and bytes, and then, for each element of
// the table in its order, the index of its text. Numbers are unsigned varints.
//
//go:embed docs.bin
var embeddedDocs string

// docs are the descriptions by Element.index, read at their first use.
var docs = sync.OnceValue(func() []string {
	d := &decoder{rest: inflate(embeddedDocs)}
	texts := make([]string, d.number())
	for i := range texts {
		size := d.number()
		texts[i], d.rest = d.rest[:size], d.rest[size:]
	}
	var all []string
	for d.rest != "" {
		all = append(all, texts[d.number()])
	}
	return all
})

// Doc is the short description of the element in the R4 definitions: "The date
// of birth for the individual".
func (e *Element) Doc() string { return docs()[e.index] }
