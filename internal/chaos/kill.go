package main

import (
	"net/http"
	"time"
)

// killDuring kills the process that a request came from: before it is handled,
// within its answer, or after it.
func (in *injector) killDuring(w http.ResponseWriter, r *http.Request, p string, f *fault) {
	kill := func() {
		if in.site.kill() {
			in.note(f.Kind)
		}
	}
	switch f.How {
	case "before":
		kill()
		reset(w)
	case "within":
		in.serve(&killing{ResponseWriter: w, kill: kill}, r, p)
	default:
		in.serve(w, r, p)
		_ = http.NewResponseController(w).Flush()
		kill()
	}
}

// killing is an answer that kills its reader in the midst of it.
type killing struct {
	http.ResponseWriter
	kill func()
	done bool
}

func (k *killing) Write(p []byte) (int, error) {
	if k.done || len(p) < 2 {
		return k.ResponseWriter.Write(p)
	}
	k.done = true
	n, err := k.ResponseWriter.Write(p[:len(p)/2])
	_ = http.NewResponseController(k.ResponseWriter).Flush()
	if err == nil {
		time.Sleep(5 * time.Millisecond) // so that it is read
		k.kill()
		var m int
		m, err = k.ResponseWriter.Write(p[n:])
		n += m
	}
	return n, err
}

// killAt kills the process when an event is one that a drawn kill waits for.
func (in *injector) killAt(event string) {
	f := in.take(func(f fault) bool { return f.On == killOn+event })
	if f != nil && in.site.kill() {
		in.note(f.Kind)
	}
}
