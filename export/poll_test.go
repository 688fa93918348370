package export

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const statusURL = base + "/status/1?secret=1"

var done = reply(200, manifest(`,"output":[{"type":"Patient","url":"https://ehr.example.org/f/1"}]`))

func TestP24F20PollWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := answers(
			reply(202, "", "X-Progress", "10% done"),
			reply(202, "", "Retry-After", "20", "X-Progress", "in progress\x1b[31m"),
			reply(202, "", "Retry-After", httpDate(time.Now().Add(2*time.Minute))), // 60 s or so away by then
			reply(202, "", "Retry-After", "18000"),                                 // five hours, cut to Max
			reply(202, "", "Retry-After", "soon"),
			done,
		)
		c := clientOf(f)
		c.Limits = PollLimits{Min: time.Second, Max: 100 * time.Second}
		var seen []Progress
		start := time.Now()
		m, err := c.Poll(t.Context(), statusURL, func(p Progress) { seen = append(seen, p) })
		if err != nil || len(m.Output) != 1 {
			t.Fatalf("%v, %+v", err, m)
		}
		if a := f.seen[0].Header.Get("Accept"); a != "application/json" {
			t.Errorf("Accept %q", a)
		}
		lo := []time.Duration{1, 20, 90, 90, 8}
		hi := []time.Duration{1, 22, 100, 100, 16}
		var sum time.Duration
		for i, p := range seen {
			sum += p.Wait
			if p.Wait < lo[i]*time.Second || p.Wait > hi[i]*time.Second || p.Polls != i+1 {
				t.Errorf("poll %d: %+v, want a wait of %d to %d s", i, p, lo[i], hi[i])
			}
		}
		if time.Since(start) != sum {
			t.Errorf("waited %v, announced %v", time.Since(start), sum)
		}
		if seen[0].Percent != 10 || seen[0].Text != "10% done" || seen[1].Percent >= 0 || seen[1].Text != "in progress[31m" {
			t.Errorf("progress %+v", seen[:2])
		}
	})
}

func TestP24TooManyRequestsSlowsDownForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := answers(reply(429, ""), reply(429, ""), reply(202, "", "Retry-After", "1"), reply(202, "", "Retry-After", "1"), done)
		c := clientOf(f)
		var waits []time.Duration
		if _, err := c.Poll(t.Context(), statusURL, func(p Progress) { waits = append(waits, p.Wait) }); err != nil {
			t.Fatal(err)
		}
		for _, w := range waits {
			if w < 4*time.Second {
				t.Errorf("after two 429 a poll waits %v, want at least 4 s", w)
			}
		}
	})
}

func TestP25F21F25PollingErrors(t *testing.T) {
	transient := outcome("error", "lock-error", "try again later")
	lasting := outcome("fatal", "processing", "cannot export")
	for _, tc := range []struct {
		name  string
		list  []*answer
		polls int
		class string
		want  string // of the error, "" for success
	}{
		{"500 transient, many times", append(repeat(reply(500, transient), 30), done), 31, "", ""},
		{"200 with a transient outcome", []*answer{reply(200, transient), done}, 2, "", ""},
		{"429 many times", append(repeat(reply(429, ""), 30), done), 31, "", ""},
		{"500 twice", []*answer{reply(500, "<html>oops"), reply(500, ""), done}, 3, "", ""},
		{"500 for ever", []*answer{reply(500, lasting)}, 5, "server", "status: 500 Internal Server Error; fatal processing: cannot export"},
		{"500 for ever, without an outcome", []*answer{reply(500, "<html>oops")}, 5, "", "status: 500 Internal Server Error"},
		{"504 without a word", append(repeat(reply(504, "<html>"), 10), done), 11, "", ""},
		{"504 for ever", []*answer{reply(504, "")}, 20, "", "status: 504 Gateway Timeout"},
		{"reset, then on with the same URL", append(repeat(failure(syscall.ECONNRESET), 10), done), 11, "", ""},
		{"down for ever", []*answer{failure(syscall.ECONNREFUSED)}, 20, "", "status: connection: connection refused"},
		{"400", []*answer{reply(400, lasting)}, 1, "server", "status: 400 Bad Request; fatal processing: cannot export"},
		{"F23: 200 with an outcome", []*answer{reply(200, lasting)}, 1, "server", "status: 200 OK; fatal processing: cannot export"},
		{"202 with a fatal outcome", []*answer{reply(202, lasting)}, 1, "server", "status: 202 Accepted; fatal processing: cannot export"},
		{"202 with an explanation", []*answer{reply(202, outcome("information", "informational", "")), done}, 2, "", ""},
		{"202 with HTML", []*answer{reply(202, "<html>"), done}, 2, "", ""},
		{"403", []*answer{reply(403, "")}, 1, "auth", "status: 403 Forbidden"},
		{"token", []*answer{failure(authError{})}, 1, "auth", "status: client not registered"},
		{"a maintenance page for a manifest", []*answer{reply(200, "<html>"), done}, 2, "", ""},
		{"a maintenance page for ever", []*answer{reply(200, "<html>")}, 20, "", "manifest: the answer is HTML or XML, not a manifest"},
		{"a cut manifest for ever", []*answer{reply(200, `{"output":[`)}, 5, "server", "manifest: the answer is not JSON, or a member occurs twice in it, at byte 11"},
		{"204", []*answer{reply(204, "")}, 1, "server", "status: answered 204 No Content"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := answers(tc.list...)
				_, err := clientOf(f).Poll(t.Context(), statusURL, nil)
				got := ""
				if err != nil {
					got = err.Error()
				}
				if got != tc.want || class(t, err) != tc.class || f.count() != tc.polls {
					t.Errorf("%q, class %q, %d polls; want %q, %q, %d", got, class(t, err), f.count(), tc.want, tc.class, tc.polls)
				}
				for _, r := range f.seen {
					if r.URL.String() != statusURL {
						t.Errorf("polled %s", r.URL)
					}
				}
			})
		})
	}
}

func repeat(a *answer, n int) []*answer {
	out := make([]*answer, n)
	for i := range out {
		out[i] = a
	}
	return out
}

func TestF22LostExport(t *testing.T) {
	for _, tc := range []struct {
		list  []*answer
		polls int
		lost  bool
	}{
		{[]*answer{reply(410, "")}, 1, true},
		{[]*answer{reply(404, "")}, 2, true},
		{[]*answer{reply(404, ""), done}, 2, false}, // a balancer's other machine
	} {
		synctest.Test(t, func(t *testing.T) {
			f := answers(tc.list...)
			_, err := clientOf(f).Poll(t.Context(), statusURL, nil)
			var lost *LostError
			if errors.As(err, &lost) != tc.lost || f.count() != tc.polls || tc.lost && class(t, err) != "server" {
				t.Errorf("%v after %d polls", err, f.count())
			}
		})
	}
	_, _, err := clientOf(answers(reply(404, ""))).Status(t.Context(), statusURL)
	var lost *LostError
	if !errors.As(err, &lost) {
		t.Errorf("Status: %v", err)
	}
}

func TestP26ExportStatusHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := answers(
			reply(200, "", "X-Export-Status", "202 Accepted", "X-Progress", "half"),
			reply(200, outcome("error", "transient", ""), "X-Export-Status", "500 Internal Server Error"),
			reply(200, done.body, "X-Export-Status", "200 OK"),
		)
		polls := 0
		m, err := clientOf(f).Poll(t.Context(), statusURL, func(p Progress) { polls++ })
		if err != nil || m == nil || polls != 1 || f.count() != 3 {
			t.Errorf("%v, %d progress, %d polls", err, polls, f.count())
		}
	})
	_, _, err := clientOf(answers(reply(200, "", "X-Export-Status", "410 Gone"))).Status(t.Context(), statusURL)
	var lost *LostError
	if !errors.As(err, &lost) {
		t.Errorf("410 as a header: %v", err)
	}
}

func TestF24PollStopsAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{}
		start := time.Now()
		f.do = func(int, *http.Request) (*http.Response, error) {
			if time.Since(start) < 21*24*time.Hour {
				return reply(202, "", "Retry-After", "3600").response()
			}
			return done.response()
		}
		c := clientOf(f)
		c.Limits.Max = time.Hour
		cause := errors.New("stopped by a person")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(24*time.Hour, func() { cancel(cause) })
		if _, err := c.Poll(ctx, statusURL, nil); !errors.Is(err, cause) {
			t.Fatalf("stopped: %v", err)
		}
		time.Sleep(10 * 24 * time.Hour)
		m, err := c.Poll(t.Context(), statusURL, nil)
		if err != nil || m == nil || time.Since(start) < 21*24*time.Hour {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}

func TestStatusOnce(t *testing.T) {
	c := clientOf(answers(reply(202, "", "Retry-After", "18000", "X-Progress", "12.5 % of 7")))
	m, p, err := c.Status(t.Context(), statusURL)
	if m != nil || err != nil || p.Wait != 5*time.Hour || p.Percent != 12.5 || p.Polls != 1 {
		t.Errorf("%v %+v %v", m, p, err)
	}
	for _, bad := range []string{"", "status/1", "ftp://ehr.example.org/1", "http://other.example.org/1", "https://a:b@ehr.example.org/"} {
		f := answers(done)
		c := clientOf(f)
		if _, _, err := c.Status(t.Context(), bad); err == nil || f.count() != 0 {
			t.Errorf("%q is asked", bad)
		}
	}
}

func TestProgressText(t *testing.T) {
	long := strings.Repeat("ä", 300)
	if got := printable(long, 200); len(got) != 200 {
		t.Errorf("cut to %d bytes", len(got))
	}
	if got := printable("a\r\nb\x00c\u202e", 200); got != "abc" {
		t.Errorf("control characters stay: %q", got)
	}
	for s, want := range map[string]float64{
		"": -1, "50%": 50, "Build in progress - Percent of files: 31.5 %": 31.5, "done": -1, "%": -1, "200%": -1, "1.2.3%": -1,
	} {
		if got := percent(s); got != want {
			t.Errorf("percent(%q) = %v, want %v", s, got, want)
		}
	}
}

func TestP27Delete(t *testing.T) {
	for _, tc := range []struct {
		status int
		sent   int
		ok     bool
	}{{202, 1, true}, {204, 1, true}, {404, 1, true}, {410, 1, true}, {400, 1, false}, {500, 5, false}} {
		synctest.Test(t, func(t *testing.T) {
			f := answers(reply(tc.status, ""))
			err := clientOf(f).Delete(t.Context(), statusURL)
			if (err == nil) != tc.ok || f.count() != tc.sent || f.seen[0].Method != "DELETE" || f.seen[0].URL.String() != statusURL {
				t.Errorf("%d: %v, %d requests", tc.status, err, f.count())
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error holds the status URL: %v", err)
			}
		})
	}
}

func TestCapability(t *testing.T) {
	body := `{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","software":{"name":"EHR","version":"9"},
		"instantiates":["http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"],"status":17,
		"rest":[{"mode":"client-of-sorts","operation":[{"name":"export","definition":"http://hl7.org/fhir/uv/bulkdata/OperationDefinition/export"}],
		"resource":[{"type":"Group","operation":[{"name":"$export"}]},
		{"type":"Patient","operation":[{"name":"x","definition":"http://hl7.org/fhir/uv/bulkdata/OperationDefinition/patient-export|2.0"}]},
		{"type":"Observation","searchParam":[{"name":"patient"},{"name":"code"}]},{"type":"../x"}]}]}`
	f := answers(reply(200, body))
	got, err := clientOf(f).Capability(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f.seen[0].URL.String() != base+"/metadata" {
		t.Errorf("asked %s", f.seen[0].URL)
	}
	if got.FHIRVersion != "4.0.1" || got.Software != "EHR 9" || !got.SystemExport || !got.PatientExport || !got.GroupExport ||
		fmt.Sprint(got.Types) != "[Group Patient Observation]" || fmt.Sprint(got.SearchParams) != "map[Observation:[patient code]]" || len(got.Instantiates) != 1 {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"<html>", "", "[]", `{"resourceType":"Patient"}`} {
		if _, err := clientOf(answers(reply(200, bad))).Capability(t.Context()); class(t, err) != "server" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzCapability(f *testing.F) {
	f.Add([]byte(`{"resourceType":"CapabilityStatement","rest":[{"resource":[{"type":"A"}]}]}`))
	f.Add([]byte(`{"resourceType":"CapabilityStatement","rest":{}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parseCapability(b); (c == nil) == (err == nil) {
			t.Errorf("%v, %v", c, err)
		}
	})
}
