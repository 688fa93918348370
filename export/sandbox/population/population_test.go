package population

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// golden is the SHA-256 over the files of Population{Patients: 150, Seed: 7},
// in the order of their names. When it changes, Version must change too.
const golden = "65c89bc5cb340650245c28c4facf9b26e127023474ca1f09248b943dbad641e1"

func digest(t *testing.T, dir string) string {
	t.Helper()
	sum := sha256.New()
	names, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(sum, filepath.Base(name))
		if _, err := io.Copy(sum, f); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func TestGoldenBytes(t *testing.T) {
	for _, workers := range []int{1, 2, 5} {
		dir, err := Population{Patients: 150, Seed: 7, Workers: workers}.Dir(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if got := digest(t, dir); got != golden {
			t.Errorf("digest with %d workers = %s, want %s: a change of the bytes needs a new Version", workers, got, golden)
		}
	}
}

func TestSeedMatters(t *testing.T) {
	cache := t.TempDir()
	a, err := Population{Patients: 3, Seed: 1}.Dir(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Population{Patients: 3, Seed: 2}.Dir(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	if a == b || digest(t, a) == digest(t, b) {
		t.Error("two seeds gave one population")
	}
}

func TestDirIsReused(t *testing.T) {
	cache := t.TempDir()
	p := Population{Patients: 2, Seed: 1}
	dir, err := p.Dir(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(filepath.Join(dir, "Patient.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Dir(t.Context(), cache); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(filepath.Join(dir, "Patient.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Error("the population was written twice")
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 {
		t.Errorf("cache holds %d entries, want the population alone", len(entries))
	}
}

// resources calls visit with every line of the population.
func resources(t *testing.T, dir string, visit func(typ string, line []byte)) {
	t.Helper()
	for k := range kinds {
		f, err := os.Open(filepath.Join(dir, k.String()+".ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(f)
		for {
			line, err := lines.ReadBytes('\n')
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			visit(k.String(), line)
		}
		f.Close()
	}
}

// walk calls visit with every object in a decoded resource.
func walk(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(v)
		for _, child := range v {
			walk(child, visit)
		}
	case []any:
		for _, child := range v {
			walk(child, visit)
		}
	}
}

func TestReferencesResolve(t *testing.T) {
	dir, err := Population{Patients: 120, Seed: 3}.Dir(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	counts := map[string]int64{}
	resources(t, dir, func(typ string, line []byte) {
		var r struct {
			ResourceType, ID string
			Meta             struct{ LastUpdated string }
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if r.ResourceType != typ || r.ID == "" {
			t.Fatalf("%s: resourceType %q, id %q", typ, r.ResourceType, r.ID)
		}
		at, err := time.Parse(time.RFC3339, r.Meta.LastUpdated)
		if err != nil || at.Before(firstUpdate) || at.After(lastUpdate) {
			t.Fatalf("%s: lastUpdated %q: %v", typ, r.Meta.LastUpdated, err)
		}
		key := typ + "/" + r.ID
		if known[key] {
			t.Errorf("%s occurs twice", key)
		}
		known[key] = true
		counts[typ]++
	})
	manifest, err := ReadManifest(dir)
	if err != nil {
		t.Fatal(err)
	}
	for typ, n := range manifest.Counts {
		if counts[typ] != n {
			t.Errorf("manifest says %d of %s, the file has %d", n, typ, counts[typ])
		}
	}
	for k := range kinds {
		if counts[k.String()] == 0 {
			t.Errorf("no %s in the population", k)
		}
	}
	refs := 0
	resources(t, dir, func(typ string, line []byte) {
		var doc map[string]any
		if err := json.Unmarshal(line, &doc); err != nil {
			t.Fatal(err)
		}
		inside := map[string]bool{}
		if contained, ok := doc["contained"].([]any); ok {
			for _, c := range contained {
				inside["#"+c.(map[string]any)["id"].(string)] = true
			}
		}
		walk(doc, func(o map[string]any) {
			target, ok := o["reference"].(string)
			if !ok {
				return
			}
			refs++
			if !known[target] && !inside[target] {
				t.Errorf("%s refers to %q, which is not there", typ, target)
			}
		})
		// A DocumentReference's attachment is a Binary of the population.
		walk(doc, func(o map[string]any) {
			if url, ok := o["url"].(string); ok && strings.HasPrefix(url, "Binary/") && !known[url] {
				t.Errorf("%s has the attachment %q, which is not there", typ, url)
			}
		})
	})
	if refs < 1000 {
		t.Errorf("only %d references", refs)
	}
}

// TestShapes holds the population to what it is for: the shapes that break
// clients must occur.
func TestShapes(t *testing.T) {
	dir, err := Population{Patients: 400, Seed: 5}.Dir(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	resources(t, dir, func(typ string, line []byte) {
		for name, want := range map[string]string{
			"trailing zero": `.30,"unit"`, "exponent": `E-2`, "primitive extension": `"_birthDate":{`,
			"null in primitive list": `null],"_given":[`, "aligned nulls": `"_line":[null,`, "contained": `"contained":[{`,
			"year only": `"onsetDateTime":"20`, "unicode": "王", "astral": "🙂", "escaped quote": `\"`, "offset": `+02:00"`,
			"extension in extension": `"extension":[{"extension":[`, "negative decimal": `"valueDecimal":-7`, "not escaped": `> 24 h old & fasting <`,
		} {
			if bytes.Contains(line, []byte(want)) {
				seen[name]++
			}
		}
		if bytes.HasSuffix(line, []byte(`"resourceType":"Procedure"}`+"\n")) {
			seen["resourceType last"]++
		}
		var doc map[string]any
		dec := json.NewDecoder(bytes.NewReader(line))
		dec.UseNumber()
		if err := dec.Decode(&doc); err != nil {
			t.Fatal(err)
		}
		for name := range doc {
			if strings.HasPrefix(name, "value") {
				seen[name]++
			}
		}
		walk(doc, func(o map[string]any) {
			for name, v := range o {
				if s, ok := v.(string); ok && s == "" {
					t.Errorf("%s: %s is an empty string", typ, name)
				}
				if m, ok := v.(map[string]any); ok && len(m) == 0 {
					t.Errorf("%s: %s is an empty object", typ, name)
				}
				if l, ok := v.([]any); ok && len(l) == 0 {
					t.Errorf("%s: %s is an empty list", typ, name)
				}
			}
		})
	})
	for _, name := range []string{
		"trailing zero", "exponent", "primitive extension", "null in primitive list", "aligned nulls", "contained", "year only", "unicode", "astral",
		"escaped quote", "offset", "extension in extension", "negative decimal", "not escaped", "resourceType last",
		"valueQuantity", "valueCodeableConcept", "valueString", "valueBoolean", "valueInteger", "valueRange", "valueRatio", "valueSampledData", "valueTime", "valueDateTime", "valuePeriod",
	} {
		if seen[name] == 0 {
			t.Errorf("the population has no %s", name)
		}
	}
}

func TestPatientsMustBePositive(t *testing.T) {
	if _, err := (Population{}).Dir(t.Context(), t.TempDir()); err == nil {
		t.Error("an empty population was made")
	}
}

// TestCancelled: what is not whole leaves nothing behind.
func TestCancelled(t *testing.T) {
	cache := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Population{Patients: 1000, Seed: 1}).Dir(ctx, cache); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if left, err := os.ReadDir(cache); err != nil || len(left) != 0 {
		t.Errorf("the cache holds %v, %v", left, err)
	}
}

func BenchmarkGenerate(b *testing.B) {
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			var size int64
			for b.Loop() {
				dir, err := Population{Patients: 500, Seed: 1, Workers: workers}.Dir(b.Context(), b.TempDir())
				if err != nil {
					b.Fatal(err)
				}
				m, err := ReadManifest(dir)
				if err != nil {
					b.Fatal(err)
				}
				size = 0
				for _, n := range m.Bytes {
					size += n
				}
			}
			b.SetBytes(size)
		})
	}
}
