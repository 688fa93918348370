package main

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// generation is the query parameter that tells the links of one manifest from
// those of another.
const generation = "g"

// wireManifest is what the campaign edits of a manifest.
type wireManifest struct {
	TransactionTime     string           `json:"transactionTime"`
	Request             string           `json:"request"`
	RequiresAccessToken bool             `json:"requiresAccessToken"`
	Output              []map[string]any `json:"output"`
	Deleted             []map[string]any `json:"deleted,omitempty"`
	Error               []map[string]any `json:"error"`
	Link                []map[string]any `json:"link,omitempty"`
}

// serveStatus answers a poll; a complete manifest goes out edited.
func (in *injector) serveStatus(w http.ResponseWriter, r *http.Request) {
	got := newBuffered()
	in.next.ServeHTTP(got, r)
	var m wireManifest
	if got.status == http.StatusOK && json.Unmarshal(got.body, &m) == nil && len(m.Output) > 0 {
		in.edit(&m, "http://"+r.Host+r.URL.RequestURI(), r.URL.Query().Get("page") == "")
		in.site.kickoffs.listed(len(m.Output))
		if text, err := json.Marshal(m); err == nil {
			got.body = text
		}
	}
	got.send(w)
}

// edit lets the manifest tell what the faults want.
func (in *injector) edit(m *wireManifest, own string, first bool) {
	if f := in.take(func(f fault) bool { return f.On == onManifest && (first || f.Kind == "manifest loop") }); f != nil {
		in.note(f.Kind)
		switch f.Kind {
		case "count lie":
			in.mu.Lock()
			in.lie = f
			in.mu.Unlock()
		case "duplicate file":
			in.mu.Lock()
			in.twice = f
			in.mu.Unlock()
		case "manifest loop":
			m.Link = []map[string]any{{"relation": "next", "url": own}}
		}
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if f := in.lie; f != nil && first {
		entry := m.Output[int(f.At*float64(len(m.Output)))]
		n, _ := entry["count"].(float64)
		if f.How == "more" {
			n += 2
		} else {
			n--
		}
		entry["count"] = n
	}
	if f := in.twice; f != nil && first {
		entry := map[string]any{}
		for k, v := range m.Output[int(f.At*float64(len(m.Output)))] {
			entry[k] = v
		}
		if f.How == "other URL" {
			entry["url"] = withQuery(entry["url"].(string), "copy", 1)
		}
		m.Output = append(m.Output, entry)
	}
	if in.expires {
		in.manifests++
		for _, entry := range m.Output {
			entry["url"] = withQuery(entry["url"].(string), generation, in.manifests)
		}
	}
}

func withQuery(url, name string, value int) string {
	join := "?"
	if strings.Contains(url, "?") {
		join = "&"
	}
	return url + join + name + "=" + strconv.Itoa(value)
}
