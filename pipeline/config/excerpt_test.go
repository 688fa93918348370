package config

import (
	"errors"
	"strings"
	"testing"
)

// No error shows a secret that was put into the file, nor a patient (I6, I7).
func TestErrorsMaskSecrets(t *testing.T) {
	const planted = "S3cr3tValue"
	key := strings.Repeat("MIIEvQIBADANBgkqhkiG9w0B", 4)
	tests := map[string]string{
		"literal secret":      edit(t, "      type: none", "      type: client_secret\n      client_id: c\n      secret: "+planted),
		"literal token":       edit(t, "      type: none", "      type: bearer\n      token: "+planted),
		"wrong key":           edit(t, "      type: none", "      type: smart\n      client_id: c\n      key: "+planted),
		"misplaced":           edit(t, "      type: none", "      type: none\n      token: "+planted),
		"misspelled key":      edit(t, "      type: none", "      type: bearer\n      tokne: x\n      token: env:T\nbad: {token: "+planted+"}"),
		"flow mapping":        edit(t, "    auth:\n      type: none", "    auth: {type: bearer, token: "+planted+"}"),
		"flow of wrong keys":  edit(t, "    auth:\n      type: none", "    auth: {typ: bearer, token: "+planted+"}"),
		"header":              edit(t, "    auth:", "    headers:\n      X-Api-Key: [\""+planted+"\"]\n    auth:"),
		"password in URL":     edit(t, "http://127.0.0.1:8080/fhir", "https://u:"+planted+"@h"),
		"query of a URL":      edit(t, "http://127.0.0.1:8080/fhir", "https://h/fhir?key="+planted),
		"patient":             edit(t, "      types: [Patient]", "      level: patient\n      patients: [\"Patient/"+planted+"\"]"),
		"patient twice":       edit(t, "      types: [Patient]", "      level: patient\n      patients:\n        - "+planted+"\n        - "+planted),
		"syntax in a secret":  edit(t, "      type: none", "      type: bearer\n      token: "+planted+": x: y"),
		"syntax in a key":     edit(t, "      type: none", "      type: smart\n      key: |\n        -----BEGIN PRIVATE KEY-----\n    "+key+"\n"),
		"variable as literal": edit(t, "      type: none", "      type: bearer\n      token: ${PLANTED}"),
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f", []byte(text), env("PLANTED", planted))
			var all *Errors
			if !errors.As(err, &all) {
				t.Fatalf("Parse gave %v, want *Errors", err)
			}
			for _, e := range all.List {
				if shown := e.Error() + e.Excerpt + e.Hint(); strings.Contains(shown, planted) || strings.Contains(shown, key) {
					t.Errorf("shown: %s\n%s", e, e.Excerpt)
				}
			}
		})
	}
}
