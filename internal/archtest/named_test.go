package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every test that a document names as the proof of something exists.
func TestNamedTestsExist(t *testing.T) {
	const root = "../.."
	tests := map[string]bool{}
	definition := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range definition.FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	documents, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	mention := regexp.MustCompile(`\bTest[A-Z]\w+…?`) // with an ellipsis it is the beginning of names
	for _, path := range append(documents, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range mention.FindAllString(string(text), -1) {
			named++
			if !tests[name] && !strings.HasSuffix(name, "…") {
				t.Errorf("%s names %s, which is no test", filepath.Base(path), name)
			}
		}
	}
	if named < 30 {
		t.Errorf("the documents name %d tests, want many", named)
	}
}
