package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Every command line of the documentation, in a block or between backquotes, is one that
// flue has: its commands, its flags, the number of its arguments.
func TestCommandLinesOfTheDocumentationExist(t *testing.T) {
	files, err := filepath.Glob("../../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "../../../README.md", "../../../CHANGELOG.md")
	inline := regexp.MustCompile("`(flue [^`]+)`")
	seen := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "\\\n", " ")
		var lines []string
		for _, m := range inline.FindAllStringSubmatch(strings.Join(strings.Fields(text), " "), -1) {
			lines = append(lines, m[1])
		}
		for line := range strings.Lines(text) {
			line = strings.TrimPrefix(strings.TrimSpace(line), "$ ")
			if i := strings.Index(line, "$(flue "); i >= 0 {
				line, _, _ = strings.Cut(line[i+2:], ")")
			}
			if strings.HasPrefix(line, "flue ") {
				lines = append(lines, line)
			}
		}
		for _, line := range lines {
			seen++
			if problem := unknownLine(line); problem != "" {
				t.Errorf("%s: %s: %s", filepath.Base(file), line, problem)
			}
		}
	}
	if seen < 40 {
		t.Errorf("%d command lines found: does this test still see them?", seen)
	}
	for _, wrong := range []string{"flue nonsense", "flue token --nonsense", "flue keys nonsense s", "flue get a b c"} {
		if unknownLine(wrong) == "" {
			t.Errorf("%q passes", wrong)
		}
	}
}

// unknownLine says what is wrong with a command line, "" when nothing is.
func unknownLine(line string) string {
	line, _, _ = strings.Cut(line, " # ")
	line, _, _ = strings.Cut(line, " | ")
	line, _, _ = strings.Cut(line, "; ")
	line, _, _ = strings.Cut(line, " > ")
	args := words(line)[1:]
	a := &app{sys: testApp().sys}
	root := a.root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	c, rest, err := root.Find(args)
	if err != nil {
		return err.Error()
	}
	if len(args) > 0 && c == c.Root() && !strings.HasPrefix(args[0], "-") {
		return "no such command"
	}
	if slices.Contains(rest, "--help") {
		return ""
	}
	if err := c.ParseFlags(rest); err != nil {
		return err.Error()
	}
	given := c.Flags().Args()
	if c.HasSubCommands() && !c.Runnable() && len(given) > 0 {
		return "no such subcommand"
	}
	// A command that is only spoken of stands without its arguments.
	if c.Args != nil && len(given) > 0 {
		if err := c.Args(c, given); err != nil {
			return err.Error()
		}
	}
	return ""
}

// ehrOfTheDocs is the server that the documents have in their examples.
const ehrOfTheDocs = "https://ehr.example.org/fhir/r4"

// docBlock is the indented block of docs/authentication.md that has the text, without its
// indentation, and with the sandbox in place of the server.
func docBlock(ts *testscript.TestScript, text string) string {
	root, err := os.Getwd() // of the test, not of the script
	check(ts, err)
	data, err := os.ReadFile(filepath.Join(root, "../../../docs/authentication.md"))
	check(ts, err)
	var block strings.Builder
	for line := range strings.Lines(string(data) + "end\n") {
		inner, indented := strings.CutPrefix(line, "    ")
		if indented || strings.TrimSpace(line) == "" {
			block.WriteString(strings.TrimPrefix(inner, "   ")) // within a list
			continue
		}
		if strings.Contains(block.String(), text) {
			return strings.ReplaceAll(block.String(), ehrOfTheDocs, ts.Getenv("SANDBOX"))
		}
		block.Reset()
	}
	ts.Fatalf("docs/authentication.md has no block with %q", text)
	return ""
}

// docWrite is the script command docwrite.
func docWrite(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: docwrite FILE TEXT")
	}
	check(ts, os.WriteFile(ts.MkAbs(args[0]), []byte(docBlock(ts, args[1])), 0o600))
}

// docRun is the script command docrun.
func docRun(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: docrun TEXT")
	}
	for line := range strings.Lines(docBlock(ts, args[0])) {
		line, _, _ = strings.Cut(line, " # ")
		if argv := words(line); len(argv) > 0 {
			check(ts, ts.Exec(argv[0], argv[1:]...))
		}
	}
}

// words splits a line as a shell does, quotes taken off.
func words(line string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`'([^']*)'|"([^"]*)"|(\S+)`).FindAllStringSubmatch(line, -1) {
		out = append(out, m[1]+m[2]+m[3])
	}
	return out
}
