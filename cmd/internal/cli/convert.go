package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flue-fhir/flue/pipeline"
	"github.com/flue-fhir/flue/pipeline/config"
	"github.com/flue-fhir/flue/pipeline/spool"
	"github.com/flue-fhir/flue/sinks/store/local"
)

// convertOptions are the flags of flue convert.
type convertOptions struct {
	out, job    string
	formats     []string
	parquet     config.Sink
	ndjson      config.Sink
	target      sizeFlag
	rowGroup    sizeFlag
	maxLine     sizeFlag
	memory      sizeFlag
	maxBadLines allowanceFlag
	allowEmpty  bool
	fresh       bool
	quiet       bool
	asJSON      bool
}

func (a *app) convertCommand() *cobra.Command {
	o := convertOptions{parquet: config.Sink{Type: "parquet"}, ndjson: config.Sink{Type: "ndjson"}}
	c := &cobra.Command{
		Use:     "convert [flags] PATH...",
		Short:   "Make a snapshot of NDJSON files, without a server",
		GroupID: "jobs",
		Long: `Make a snapshot of FHIR R4 NDJSON that is there already: files, or folders with all
.ndjson and .jsonl files below them, plain or compressed by gzip (.gz), zstd (.zst) or bzip2 (.bz2), with any mix
of resource types in a file; - is the standard input. The lines are checked, chosen
among versions of a resource, converted, counted and published like those of flue run.

Files are read where they lie and not copied, so nothing may write to them meanwhile.
A conversion that was killed goes on when the same command is run again. No
configuration is read.`,
		Example: `  flue convert export/                            # to out/convert/latest/parquet
  flue convert --sink ndjson --sink parquet --out /data/fhir --job import a.ndjson.gz b.ndjson
  zstdcat dump.zst | flue convert --json - | jq .manifest.types`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{message: "argument PATH is missing", hint: "usage: " + c.UseLine()}
			}
			return nil
		},
		PreRun: func(*cobra.Command, []string) { a.events = !o.quiet },
		RunE: func(c *cobra.Command, args []string) error {
			job, err := o.asJob()
			if err != nil {
				return err
			}
			return a.convert(c.Context(), job, o, args)
		},
	}
	f := c.Flags()
	f.StringVarP(&o.out, "out", "o", "out", "folder of snapshots; the newest is OUT/JOB/latest")
	f.StringVar(&o.job, "job", "convert", "name of the job: the folder below OUT")
	f.StringArrayVar(&o.formats, "sink", []string{"parquet"}, "format: parquet or ndjson; may be repeated")
	f.StringVar(&o.parquet.Compression, "parquet-compression", "zstd", "zstd, snappy or none")
	f.IntVar(&o.parquet.Level, "parquet-level", 0, "level of zstd, 1 to 22; 0 means the default")
	f.StringVar(&o.ndjson.Compression, "ndjson-compression", "gzip", "gzip, zstd or none")
	f.IntVar(&o.ndjson.Level, "ndjson-level", 0, "level of gzip or zstd, 1 to 9; 0 means the default")
	f.StringVar(&o.parquet.Unmapped, "unmapped", "keep", "values that no Parquet column can hold: keep them in __unmapped, or fail")
	f.StringVar(&o.parquet.Drift, "drift", "widen", "elements that no earlier snapshot of the job had: widen the Parquet schema, or fail")
	f.StringVar(&o.parquet.Sort, "sort", "delivery", "order of a type's Parquet rows: delivery, or patient (by patient and then date)")
	f.Var(&o.rowGroup, "row-group", "bytes of input in one row group of Parquet, about (default 128MiB)")
	f.Var(&o.target, "target-size", "bytes of one output file, about (default 256MiB)")
	f.Var(&o.maxLine, "max-line", "bytes of one resource (default 64MiB)")
	f.Var(&o.maxBadLines, "max-bad-lines", "lines that are no resources, and go to quarantine, before the conversion fails: a number, or a share of all lines such as 0.1%")
	f.BoolVar(&o.allowEmpty, "allow-empty", false, "publish a snapshot without a single resource, too")
	f.Var(&o.memory, "memory", "memory for buffers (default 256MiB)")
	f.BoolVar(&o.fresh, "fresh", false, "start anew even where a killed conversion could go on")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "print errors only")
	f.BoolVar(&o.asJSON, "json", false, "print the summary as JSON on stdout")
	for flag, words := range map[string][]string{
		"sink": {"parquet", "ndjson"}, "unmapped": {"keep", "fail"}, "drift": {"widen", "fail"}, "sort": {"delivery", "patient"},
		"parquet-compression": {"zstd", "snappy", "none"}, "ndjson-compression": {"gzip", "zstd", "none"},
	} {
		a.must(c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)))
	}
	return c
}

// asJob checks the flags and makes a job of them.
func (o *convertOptions) asJob() (config.Job, error) {
	j := config.Job{
		Name: o.job, Export: config.Export{Mode: "files"},
		Policies: config.Policies{
			OnServerErrors: "warn", AllowEmpty: o.allowEmpty, FHIRVersions: "R4",
			MaxLine: int64(o.maxLine), MaxBadLines: config.Allowance(o.maxBadLines), Memory: int64(o.memory),
		},
	}
	if o.job == "" || strings.HasPrefix(o.job, ".") || strings.ContainsAny(o.job, "/\\") {
		return j, &usageError{message: "--job: the name is no folder name", hint: "write one word: --job import"}
	}
	words := func(flag, value string, known ...string) error {
		if slices.Contains(known, value) {
			return nil
		}
		return &usageError{message: fmt.Sprintf("--%s: %q is not known", flag, value), hint: "want one of " + strings.Join(known, ", ")}
	}
	level := func(flag string, level, most int, compression string) error {
		switch {
		case level < 0 || level > most:
			return &usageError{message: fmt.Sprintf("--%s: want 1 to %d", flag, most)}
		case level != 0 && (compression == "none" || compression == "snappy"):
			return &usageError{message: fmt.Sprintf("--%s: %s has no levels", flag, compression), hint: "leave it out"}
		}
		return nil
	}
	err := errors.Join(
		words("parquet-compression", o.parquet.Compression, "zstd", "snappy", "none"),
		words("ndjson-compression", o.ndjson.Compression, "gzip", "zstd", "none"),
		words("unmapped", o.parquet.Unmapped, "keep", "fail"),
		words("drift", o.parquet.Drift, "widen", "fail"),
		words("sort", o.parquet.Sort, "delivery", "patient"),
		level("parquet-level", o.parquet.Level, 22, o.parquet.Compression),
		level("ndjson-level", o.ndjson.Level, 9, o.ndjson.Compression),
	)
	for _, format := range slices.Compact(slices.Sorted(slices.Values(o.formats))) {
		err = errors.Join(err, words("sink", format, "parquet", "ndjson"))
		s := o.parquet
		s.RowGroup = int64(o.rowGroup)
		if format == "ndjson" {
			s = o.ndjson
		}
		s.TargetSize = int64(o.target)
		j.Sinks = append(j.Sinks, s)
	}
	return j, firstOf(err)
}

// firstOf is the first of joined errors: one mistake at a time has its hint.
func firstOf(err error) error {
	if list, ok := err.(interface{ Unwrap() []error }); ok {
		return list.Unwrap()[0]
	}
	return err
}

// convert makes a snapshot of the files.
func (a *app) convert(ctx context.Context, job config.Job, o convertOptions, paths []string) (err error) {
	out, err := filepath.Abs(o.out)
	if err != nil {
		return fmt.Errorf("find --out: %w", err)
	}
	job.Destination.Path = out
	found, err := a.findInputs(paths, out)
	if err != nil {
		return err
	}
	defer found.close()
	watch := a.newWatcher(job)
	if o.quiet {
		watch.close()
		watch = quiet{a.logHandler(a.sys.Stderr)}
	}
	watching := true
	stop := func() {
		if watching {
			watching = false
			watch.close()
		}
	}
	defer stop()
	log := slog.New(watch.handler())
	state, err := a.openConversion(out, job.Name, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.close(err)) }()
	f := &config.File{StateDir: state.dir}
	l, err := a.openLedger(ctx, f)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := l.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("close ledger: %w", cerr)
		}
	}()
	a.limitHeap(job.Policies.Memory)
	r := &pipeline.Runner{
		Job: job, Inputs: found.inputs, Asked: paths,
		Store:   &local.Store{Path: out, Now: a.sys.Now},
		Ledger:  l,
		Spool:   &spool.Spool{Dir: filepath.Join(state.dir, "spool"), MaxLine: job.Policies.MaxLine, Limits: columnLimits(job)},
		Observe: watch.observe, Log: log, Now: a.sys.Now, Version: version(),
	}
	for _, s := range job.Sinks {
		r.Sinks = append(r.Sinks, newSink(s, job.Policies))
	}
	summary, err := r.Run(ctx, pipeline.Options{Fresh: o.fresh || found.streams, Trigger: "manual"})
	stop()
	if summary != nil && (o.asJSON || summary.Run != "" && !o.quiet) {
		if werr := a.printSummary(summary, o.asJSON); err == nil {
			err = werr
		}
	}
	return err
}

// quiet shows no events: what is wrong is told at the end.
type quiet struct{ logs slog.Handler }

func (q quiet) observe(pipeline.Event) {}
func (q quiet) handler() slog.Handler  { return q.logs }
func (q quiet) close()                 {}

// allowanceFlag is how many lines may be bad, as jobs.yaml writes it.
type allowanceFlag config.Allowance

func (f *allowanceFlag) String() string { return config.Allowance(*f).String() }
func (f *allowanceFlag) Type() string   { return "number|share" }
func (f *allowanceFlag) Set(text string) error {
	a, err := config.ParseAllowance(text)
	if err != nil {
		return fmt.Errorf("%w: write 10, or 0.1%%", err)
	}
	*f = allowanceFlag(a)
	return nil
}
