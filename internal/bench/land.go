package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/flue-fhir/flue/export"
	"github.com/flue-fhir/flue/pipeline/spool"
)

const downloads = 4

// land measures landing from a sandbox over loopback: parse, validate, hash,
// index and store, beside curl that only stores.
func land(o options, data string) error {
	base, stop, err := serve(o, data)
	if err != nil {
		return err
	}
	defer stop()
	size, err := treeSize(data, ".ndjson")
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "flue-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	rows := []struct {
		name string
		args func(dir string) (string, []string, error)
	}{
		{"flue", func(dir string) (string, []string, error) {
			return self, []string{"-child", base, "-dir", dir}, nil
		}},
		{"flue (gzip)", func(dir string) (string, []string, error) {
			return self, []string{"-child", base, "-dir", dir, "-gzip"}, nil
		}},
		{"curl --parallel", func(dir string) (string, []string, error) { return curl(base, dir) }},
	}
	got := make([][]figure, len(rows))
	for i := range o.runs {
		for k, row := range rows {
			dir := filepath.Join(tmp, fmt.Sprintf("%d-%d", k, i))
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			name, args, err := row.args(dir)
			if err != nil {
				return err
			}
			f, err := measure(2, nil, name, args...)
			if err != nil {
				return fmt.Errorf("%s: %w", row.name, err)
			}
			got[k] = append(got[k], f)
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
		}
	}
	fmt.Printf("Land %.0f MB from a sandbox over loopback, %d downloads at once; medians of %d runs, interleaved\n", float64(size)/1e6, downloads, o.runs)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "client\tMB/s\tCPU s\tpeak MB\t")
	for k, row := range rows {
		m := median(got[k])
		fmt.Fprintf(w, "%s\t%.0f\t%.2f\t%.0f\t\n", row.name, rate(size, m.wall), m.cpu.Seconds(), float64(m.peak)/1e6)
	}
	fmt.Fprintln(w)
	return w.Flush()
}

// serve starts an open sandbox over the data in a process of its own.
func serve(o options, data string) (base string, stop func(), err error) {
	cmd := exec.Command(o.flue, "sandbox", "--listen", "127.0.0.1:0", "--data", data, "--cache", filepath.Join(o.cache, "sandbox"), "--open")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("start the sandbox: %w", err)
	}
	return strings.TrimSpace(line), stop, nil
}

func client(base string) (*export.Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	hc := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: downloads, DisableCompression: true}}
	return &export.Client{Base: u, HTTP: hc, Bare: hc, Limits: export.PollLimits{Min: 10 * time.Millisecond}}, nil
}

// manifest runs an export to its manifest.
func manifest(ctx context.Context, c *export.Client) (*export.Manifest, error) {
	k, err := c.KickOff(ctx, export.Request{Level: export.System})
	if err != nil {
		return nil, err
	}
	return c.Poll(ctx, k.StatusURL, func(export.Progress) {})
}

// curl is the command that downloads a new export's files.
func curl(base, dir string) (string, []string, error) {
	if _, err := exec.LookPath("curl"); err != nil {
		return "", nil, err
	}
	c, err := client(base)
	if err != nil {
		return "", nil, err
	}
	m, err := manifest(context.Background(), c)
	if err != nil {
		return "", nil, err
	}
	args := []string{"--silent", "--fail", "--parallel", "--parallel-max", strconv.Itoa(downloads)}
	for i, f := range m.Output {
		args = append(args, "--output", filepath.Join(dir, strconv.Itoa(i)), f.URL)
	}
	return "curl", args, nil
}

// child lands a whole export in this process and leaves it on the disk.
func child(base, dir string, gzip bool) error {
	ctx := context.Background()
	c, err := client(base)
	if err != nil {
		return err
	}
	if !gzip {
		c.Bare = &http.Client{Transport: identity{c.Bare.Transport}}
		c.HTTP = c.Bare
	}
	m, err := manifest(ctx, c)
	if err != nil {
		return err
	}
	s := &spool.Spool{Dir: dir}
	run, err := s.Run("bench")
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(downloads)
	for i, f := range m.Output {
		g.Go(func() error { return landFile(ctx, c, run, strconv.Itoa(i), f) })
	}
	return g.Wait()
}

func landFile(ctx context.Context, c *export.Client, run *spool.Run, key string, f export.File) (err error) {
	l, err := run.Land(key, spool.Options{Type: f.Type, Expect: f.Count})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	b, err := c.Open(ctx, f, 0, "")
	if err != nil {
		return err
	}
	defer b.Close()
	if err := l.Copy(ctx, spool.Source{Body: b, Encoding: b.Encoding, Length: b.Length, Validator: b.Validator}); err != nil {
		return err
	}
	_, err = l.Commit()
	return err
}

// identity asks for bodies without a content coding.
type identity struct{ next http.RoundTripper }

func (t identity) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Accept-Encoding", "identity")
	return t.next.RoundTrip(r)
}
