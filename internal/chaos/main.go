// Command chaos runs the real flue binary against the sandbox behind a listener
// that injects faults, kills it in between, and checks what it publishes against
// what the server holds: every resource once, none foreign, nothing visible in
// part at any moment, no kick-off repeated while a status URL was known, nothing
// left behind, no secret in a log.
//
//	chaos -flue bin/flue -seeds 200          the fault campaign
//	chaos -flue bin/flue -seed 17 -v         one seed, telling what it drew
//	chaos -flue bin/flue -kills 100          SIGKILL a hundred times during one run
//	chaos -flue bin/flue -campaign cut       400 files, the connection cut every 50 MB
//	chaos -flue bin/flue -campaign small-files
//
// A seed decides everything that is drawn: the kind of job, the server's habits,
// the faults and where they strike. What the machine's load decides, such as how
// far a run has come when a fault strikes, differs from one execution to another.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
)

// options are what the command line asks for.
type options struct {
	flue     string // absolute path of the binary
	seeds    int
	seed     uint64
	parallel int
	verbose  bool
	keep     bool
	dir      string
	campaign string
	kills    int

	files, lines int
	bytes, cut   int64
	patients     int
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("chaos: ")
	o, err := parse(os.Args[1:])
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, o); err != nil {
		stop()
		log.Fatal(err)
	}
}

func parse(args []string) (options, error) {
	fs := flag.NewFlagSet("chaos", flag.ContinueOnError)
	var o options
	fs.StringVar(&o.flue, "flue", "bin/flue", "the flue binary")
	fs.IntVar(&o.seeds, "seeds", 20, "how many seeds the campaign runs, from 1")
	fs.Uint64Var(&o.seed, "seed", 0, "run this seed alone")
	fs.IntVar(&o.parallel, "parallel", 2, "seeds at a time")
	fs.BoolVar(&o.verbose, "v", false, "tell what each seed drew and what came of it")
	fs.BoolVar(&o.keep, "keep", false, "keep the folders of seeds that passed, too")
	fs.StringVar(&o.dir, "dir", "", "where to work; empty: a temporary folder")
	fs.StringVar(&o.campaign, "campaign", "faults", "faults, kills, cut or small-files")
	fs.IntVar(&o.kills, "kills", 0, "campaign kills: how often to kill the run")
	fs.IntVar(&o.files, "files", 0, "cut, small-files: how many files; 0 means 400 and 50,000")
	fs.IntVar(&o.lines, "lines", 20, "small-files: resources in a file")
	fs.Int64Var(&o.bytes, "bytes", 2_000_000_000, "cut: bytes of all files together")
	fs.Int64Var(&o.cut, "cut", 50_000_000, "cut: bytes after which a connection is cut")
	fs.IntVar(&o.patients, "patients", 0, "kills: size of the population; 0 means 400")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.kills > 0 {
		o.campaign = "kills"
	}
	if o.seeds < 1 || o.parallel < 1 {
		return o, errors.New("-seeds and -parallel: at least 1")
	}
	path, err := filepath.Abs(o.flue)
	if err != nil {
		return o, err
	}
	if _, err := os.Stat(path); err != nil {
		return o, fmt.Errorf("no flue binary: %w (make build)", err)
	}
	o.flue = path
	return o, nil
}

func run(ctx context.Context, o options) (err error) {
	given := o.dir
	if given != "" {
		if o.dir, err = filepath.Abs(given); err == nil {
			err = os.MkdirAll(o.dir, 0o700)
		}
	} else {
		o.dir, err = os.MkdirTemp("", "flue-chaos-")
	}
	if err != nil {
		return fmt.Errorf("make the folder to work in: %w", err)
	}
	switch o.campaign {
	case "faults":
		err = faultCampaign(ctx, o)
	case "kills":
		err = killCampaign(ctx, o)
	case "cut":
		err = cutCampaign(ctx, o)
	case "small-files":
		err = smallFilesCampaign(ctx, o)
	default:
		return fmt.Errorf("-campaign: there is no %q", o.campaign)
	}
	if err == nil && given == "" && !o.keep {
		err = os.RemoveAll(o.dir)
	}
	return err
}
