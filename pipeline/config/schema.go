package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// Schema is a JSON Schema (draft 7, which editors know) of jobs.yaml. It is made
// from the same tables as the parser, which refuses more than it can say.
func Schema() []byte {
	s := fileObject().kind().schema()
	s["$schema"] = "http://json-schema.org/draft-07/schema#"
	s["title"] = "flue jobs"
	s["description"] = "Servers and export jobs of flue. Every value may come from the environment: ${NAME}, ${NAME:-default}."
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		panic(err) // maps, slices and strings always encode
	}
	return b.Bytes()
}

// Reference is the list of all keys in Markdown, for the documentation.
func Reference() []byte {
	var b bytes.Buffer
	top := fileObject().rows()
	table(&b, "The file", top)
	for _, r := range top {
		switch r.key {
		case "servers":
			section(&b, "servers.NAME", r.nested)
		case "jobs":
			section(&b, "jobs.NAME", r.nested)
		}
	}
	return b.Bytes()
}

func section(b *bytes.Buffer, path string, rows []row) {
	table(b, "`"+path+"`", rows)
	for _, r := range rows {
		if r.nested != nil {
			sub := path + "." + r.key
			if strings.HasPrefix(r.word, "list ") {
				sub += "[]"
			}
			section(b, sub, r.nested)
		}
	}
}

func table(b *bytes.Buffer, title string, rows []row) {
	fmt.Fprintf(b, "### %s\n\n| key | value | default | meaning |\n|---|---|---|---|\n", title)
	cell := strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;")
	for _, r := range rows {
		absent := r.absent
		if r.needed {
			absent = "**required**"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", r.key, cell.Replace(r.word), cell.Replace(absent), cell.Replace(r.doc))
	}
	b.WriteString("\n")
}
