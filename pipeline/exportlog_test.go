package pipeline

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flue-fhir/flue/sinks"
)

// exportLog reads the log of the latest snapshot, and wants it to be one of its
// files and without secrets.
func (w *world) exportLog(t *testing.T, m *sinks.Manifest) []logEntry {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.Dir, "out", w.Job.Name, "latest", logName))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"s3cr3t", "sig=", "/status/", "patient-7", "observation-7"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s holds %q (I6, I7)", logName, secret)
		}
	}
	var list []logEntry
	for line := range strings.Lines(string(text)) {
		var e logEntry
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if e.ExportID != m.Run || e.Timestamp.IsZero() || e.Detail == nil {
			t.Errorf("line %s", line)
		}
		list = append(list, e)
	}
	i := slices.IndexFunc(m.Files, func(f sinks.File) bool { return f.Path == logName })
	if i < 0 || m.Files[i].Rows != int64(len(list)) || m.Files[i].Bytes != int64(len(text)) {
		t.Errorf("%s has %d lines and is not so in the manifest", logName, len(list))
	}
	return list
}

func events(list []logEntry, id string) (found []map[string]any) {
	for _, e := range list {
		if e.EventID == id {
			found = append(found, e.Detail)
		}
	}
	return found
}

func TestExportLog(t *testing.T) {
	s := newExportServer(t)
	s.population(2, 10, "Patient", "Observation")
	s.polls, s.fresh = 2, true
	s.cut["Patient.1.ndjson"] = 1
	w := newWorld(t, s)
	w.Job.Export.TypeFilters = []string{"Patient?active=true"}
	m := w.run(t, Options{}).Manifest
	list := w.exportLog(t, m)

	var order []string
	for _, e := range list[:5] {
		order = append(order, e.EventID)
	}
	want := "kickoff status_progress status_progress status_complete status_page_complete"
	if got := strings.Join(order, " "); got != want {
		t.Errorf("it begins with %s, want %s", got, want)
	}
	if got := list[len(list)-1].EventID; got != "export_complete" {
		t.Errorf("it ends with %s", got)
	}
	k := list[0].Detail
	parameters, _ := k["requestParameters"].(map[string]any)
	if k["exportUrl"] != w.URL+"/$export" || k["fhirVersion"] != "4.0.1" || k["errorCode"] != nil ||
		parameters["_type"] != "Patient,Observation" || parameters["_typeFilter"] != "Patient?active=true" {
		t.Errorf("kickoff %v", k)
	}
	if p := events(list, "status_progress")[0]; p["xProgress"] != "50%" {
		t.Errorf("status_progress %v", p)
	}
	if p := events(list, "status_page_complete")[0]; p["outputFileCount"] != 4.0 || p["errorFileCount"] != 0.0 || p["transactionTime"] != "2025-05-01T12:00:00Z" {
		t.Errorf("status_page_complete %v", p)
	}
	if p := events(list, "manifest_complete")[0]; p["totalOutputFileCount"] != 4.0 || p["totalManifests"] != 1.0 {
		t.Errorf("manifest_complete %v", p)
	}
	asked, broken, came := events(list, "download_request"), events(list, "download_error"), events(list, "download_complete")
	if len(asked) != 5 || len(broken) != 1 || len(came) != 4 {
		t.Fatalf("%d downloads asked for, %d broken, %d complete; want 5, 1, 4", len(asked), len(broken), len(came))
	}
	for _, d := range asked {
		typ, _ := d["resourceType"].(string)
		if link, _ := d["fileUrl"].(string); d["itemType"] != "output" || !strings.HasPrefix(link, s.URL+"/files/1/"+typ+".") {
			t.Errorf("download_request %v", d)
		}
	}
	if d := broken[0]; d["fileUrl"] != s.URL+"/files/1/Patient.1.ndjson" || d["message"] == "" {
		t.Errorf("download_error %v", d)
	}
	for _, d := range came {
		if d["resourceCount"] != 10.0 || d["fileSize"].(float64) < 500 {
			t.Errorf("download_complete %v", d)
		}
	}
	if d := events(list, "export_complete")[0]; d["files"] != 4.0 || d["resources"] != 40.0 || d["attachments"] != 0.0 {
		t.Errorf("export_complete %v", d)
	}
}

// TestExportLogGoesOn: a kick-off that was refused, an export that was lost, and
// a process that died stand in the one log of the run.
func TestExportLogGoesOn(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 10, "Patient", "Observation")
	s.refuse, s.lose = []int{503}, 1
	w := newWorld(t, s)
	t.Setenv("FLUE_TEST_CRASH_STEP", "landed")
	if said, killed := w.process(t, 0); !killed {
		t.Fatalf("the process was not killed: %s", said)
	}
	t.Setenv("FLUE_TEST_CRASH_STEP", "")
	list := w.exportLog(t, w.run(t, Options{}).Manifest)
	kickoffs := events(list, "kickoff")
	if len(kickoffs) != 3 || kickoffs[0]["errorCode"] != 503.0 || kickoffs[1]["errorCode"] != nil {
		t.Errorf("kick-offs %v, want one refused and two taken", kickoffs)
	}
	if lost := events(list, "status_error"); len(lost) != 1 || lost[0]["code"] != 404.0 {
		t.Errorf("status_error %v, want the lost export", lost)
	}
	if n := len(events(list, "download_complete")); n != 2 {
		t.Errorf("%d downloads complete, want 2", n)
	}
	if n := len(events(list, "export_complete")); n != 1 {
		t.Errorf("%d times complete", n)
	}
	w.publishedAll(t, s)
	w.clean(t)
}

// TestExportLogNamesNoPatients (I7).
func TestExportLogNamesNoPatients(t *testing.T) {
	s := newExportServer(t)
	s.population(1, 10, "Patient")
	w := newWorld(t, s)
	w.Job.Export.Types, w.Job.Export.Level, w.Job.Export.Patients = []string{"Patient"}, "patient", []string{"patient-7"}
	list := w.exportLog(t, w.run(t, Options{}).Manifest)
	if k := list[0].Detail; k["exportUrl"] != w.URL+"/Patient/$export" {
		t.Errorf("kickoff %v", k)
	}
}
