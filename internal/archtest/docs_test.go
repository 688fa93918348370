package archtest

import (
	"os"
	"strings"
	"testing"
)

// docs/ARCHITECTURE.md has a row for each rule of the table, and no other.
func TestTableIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## Packages\n")
	if !ok {
		t.Fatal("docs/ARCHITECTURE.md has no section on packages")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	documented := make(map[string]bool)
	for line := range strings.Lines(section) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` |"); ok && strings.HasPrefix(line, "| `") {
			documented[name] = true
		}
	}
	for _, r := range table() {
		if !documented[r.pkg] {
			t.Errorf("docs/ARCHITECTURE.md has no row for %s", r.pkg)
		}
		delete(documented, r.pkg)
	}
	for name := range documented {
		t.Errorf("docs/ARCHITECTURE.md has a row for %s, which has no rule", name)
	}
}
