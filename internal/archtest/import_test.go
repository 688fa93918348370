package archtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/flue-fhir/flue"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath string
	Dir        string
	Name       string
	GoFiles    []string
	Imports    []string
	Deps       []string
	Standard   bool
}

// path is the package's path below the module; "." for the module's root.
func (p pkg) path() string { return relative(p.ImportPath) }

func relative(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

func ours(importPath string) bool {
	return importPath == module || strings.HasPrefix(importPath, module+"/")
}

// standard reports whether an import is of the standard library: its first
// element has no dot.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".") && !ours(importPath)
}

// matches reports whether a path is the pattern or, when that ends in "/...",
// below it. For packages of other modules everything below is meant.
func matches(pattern, path string) bool {
	base, below := strings.CutSuffix(pattern, "/...")
	host, _, _ := strings.Cut(pattern, "/")
	if path == base {
		return true
	}
	return (below || strings.Contains(host, ".")) && strings.HasPrefix(path, base+"/")
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Name,GoFiles,Imports,Deps,Standard", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("read go list: %v", err)
		}
		if len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	return all
}

// violations are the edges that the table forbids.
func violations(all []pkg, rules []rule, bans []ban) []string {
	var found []string
	used := make(map[string]bool)
	for _, p := range all {
		i := slices.IndexFunc(rules, func(r rule) bool { return matches(r.pkg, p.path()) })
		if i < 0 {
			found = append(found, p.path()+" has no rule: add it to the table and to docs/ARCHITECTURE.md")
			continue
		}
		r := rules[i]
		used[r.pkg] = true
		for _, imp := range p.Imports {
			allowed := standard(imp) || slices.ContainsFunc(r.may, func(m string) bool { return matches(m, relative(imp)) })
			if !allowed {
				found = append(found, p.path()+" imports "+relative(imp)+", which the table does not allow")
			}
			for _, b := range bans {
				hit := imp == b.path || !standard(b.path) && matches(b.path, imp)
				if hit && !slices.ContainsFunc(b.but, func(m string) bool { return matches(m, p.path()) }) {
					found = append(found, p.path()+" imports "+relative(imp)+": "+b.why)
				}
			}
		}
		for _, n := range r.never {
			for _, dep := range p.Deps {
				if forbiddenDep(n.path, dep, p.ImportPath) {
					found = append(found, p.path()+" reaches "+relative(dep)+": "+n.why)
				}
			}
		}
	}
	for _, r := range rules {
		if !used[r.pkg] {
			found = append(found, "the rule of "+r.pkg+" matches no package")
		}
	}
	return found
}

// forbiddenDep reports whether dep matches the path; "." stands for any other
// package of the module.
func forbiddenDep(path, dep, self string) bool {
	switch {
	case path == ".":
		return ours(dep) && dep != self
	case standard(path) && standard(dep):
		return dep == path
	}
	return matches(path, relative(dep))
}

func TestImportTable(t *testing.T) {
	for _, v := range violations(packages(t), table(), forbidden()) {
		t.Error(v)
	}
}

// The test itself must be able to fail.
func TestViolationsAreFound(t *testing.T) {
	rules := []rule{
		{pkg: "a", may: []string{"b", "example.org/lib"}, never: []never{{"c", "because"}, {"flag", "because"}}},
		{pkg: "b"},
		{pkg: "ghost"},
	}
	all := []pkg{
		{ImportPath: module + "/a", Imports: []string{"fmt", "log", module + "/b", "example.org/lib/sub", "example.org/library"}, Deps: []string{module + "/b", module + "/c", module + "/c/below", "flag"}},
		{ImportPath: module + "/b", Imports: []string{module + "/c"}},
		{ImportPath: module + "/stray"},
	}
	got := violations(all, rules, []ban{{path: "log", why: "because"}})
	want := []string{
		"a imports log: because",
		"a imports example.org/library, which the table does not allow",
		"a reaches c: because",
		"a reaches flag: because",
		"b imports c, which the table does not allow",
		"stray has no rule: add it to the table and to docs/ARCHITECTURE.md",
		"the rule of ghost matches no package",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Every package has one comment that begins with its name and says what it is
// for.
func TestPackageComments(t *testing.T) {
	for _, p := range packages(t) {
		var comments []string
		for _, file := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				comments = append(comments, text(f.Doc))
			}
		}
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command "
		}
		switch {
		case len(comments) != 1:
			t.Errorf("%s has %d package comments, want one", p.path(), len(comments))
		case !strings.HasPrefix(comments[0], want) || len(comments[0]) < len(want)+40:
			t.Errorf("%s: the package comment begins with %.40q, want %q and what the package is for", p.path(), comments[0], want)
		}
	}
}

func text(doc *ast.CommentGroup) string { return strings.TrimSpace(doc.Text()) }
