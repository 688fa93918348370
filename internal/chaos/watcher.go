package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/flue-fhir/flue/sinks"
)

// watcher looks at a job's folder the whole time: whatever is visible there is
// complete (I1).
type watcher struct {
	dir     string // <destination>/<job>
	appears func() // called when a snapshot becomes visible
	violate func(string)

	mu     sync.Mutex
	whole  map[string]bool // snapshots that were found complete
	looked int64

	stop chan struct{}
	done chan struct{}
}

func watch(dir string, appears func(), violate func(string)) *watcher {
	w := &watcher{dir: dir, appears: appears, violate: violate, whole: map[string]bool{}, stop: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *watcher) run() {
	defer close(w.done)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-tick.C:
			w.look()
		}
	}
}

// close ends the watching and returns how often it looked.
func (w *watcher) close() int64 {
	close(w.stop)
	<-w.done
	w.look()
	return w.looked
}

// look checks what is visible now.
func (w *watcher) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked++
	target, linked := os.Readlink(filepath.Join(w.dir, "latest")) // first: what it names is to be there afterwards
	entries, err := os.ReadDir(filepath.Join(w.dir, "snapshots"))
	if err != nil {
		if linked == nil {
			w.violate("I1: latest is there before a snapshot")
		}
		return
	}
	for _, e := range entries {
		if w.whole[e.Name()] {
			continue
		}
		w.appears()
		if err := complete(filepath.Join(w.dir, "snapshots", e.Name())); err != nil {
			w.violate("I1: a snapshot is visible in part: " + err.Error())
		}
		w.whole[e.Name()] = true
	}
	if linked == nil && !w.whole[filepath.Base(target)] {
		w.violate("I1: latest points at no snapshot")
	}
}

// visible is how many snapshots were seen.
func (w *watcher) visible() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.whole)
}

// complete checks a snapshot's files against its manifest, byte for byte.
func complete(dir string) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	m, err := readManifest(dir)
	if err != nil {
		return err
	}
	for _, f := range m.Files {
		sum, size, err := hashFile(filepath.Join(dir, f.Path))
		if err != nil {
			return err
		}
		if size != f.Bytes || sum != f.SHA256 {
			return fmt.Errorf("%s is not what the manifest says", f.Path)
		}
	}
	known := map[string]bool{"manifest.json": true}
	for _, f := range m.Files {
		known[filepath.FromSlash(f.Path)] = true
	}
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err == nil && !known[name] {
			err = fmt.Errorf("%s is in no manifest", name)
		}
		return err
	})
}

func readManifest(dir string) (*sinks.Manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return nil, err
	}
	m := new(sinks.Manifest)
	return m, json.Unmarshal(text, m)
}

func hashFile(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), size, err
}
