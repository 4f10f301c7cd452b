//go:build unix

// Command bench measures the product as its users have it: the callboard binary in processes of its own, on disk, with real runners over
// gRPC. Beside it, in the same run and in turns, it measures etcd's server and Raft alone, so that what a machine is worth on a bad day
// falls out of the ratios. It owns docs/benchmarks.md's figures.
//
// It must never know the engine from inside: what it measures, anybody can. Only bare.go uses a room of the engine, Raft's stores, so
// that "Raft alone" means the same Raft.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/callboard/callboard/jepsen/real"
)

// garbage is what the bench lets be, in per cent of what lives, and so does the loop of puts beside etcd: whoever makes the load shares
// the machine with what is measured, and its collections are not the product's.
const garbage = 400

func main() {
	debug.SetGCPercent(garbage)
	if len(os.Args) > 1 && children[os.Args[1]] != nil {
		if err := children[os.Args[1]](os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench", os.Args[1]+":", err)
			os.Exit(1)
		}
		return
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// children are what this binary is when it is started by itself.
var children = map[string]func(args []string) error{
	"child-bare":    bareChild,
	"child-runners": runnersChild,
}

// options are what a run was asked for.
type options struct {
	binaries struct{ callboard, etcd, etcdPut, bench string }
	dir      string
	out      string
	match    string
	rounds   int
	quick    bool
	list     bool

	profiles    string
	outstanding int
}

func parse() (o options, err error) {
	flag.StringVar(&o.binaries.callboard, "callboard", "bin/callboard", "the engine")
	flag.StringVar(&o.binaries.etcd, "etcd", "bin/etcd", "etcd's server")
	flag.StringVar(&o.binaries.etcdPut, "etcd-put", "bin/etcd-put", "the loop of puts, from bench/etcd")
	flag.StringVar(&o.dir, "dir", ".bench", "directory of all data, on the disk that is to be measured; emptied behind each case")
	flag.StringVar(&o.out, "out", "", "page whose figures are replaced, such as docs/benchmarks.md; empty: the figures are printed only")
	flag.StringVar(&o.match, "run", "", "run only the cases that match this expression")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each case runs; the cases take turns")
	flag.BoolVar(&o.quick, "quick", false, "about two minutes: one round, short, small. Good for a look, not for a page")
	flag.StringVar(&o.profiles, "profiles", "", "directory for a CPU profile of every node in the sustained cases; empty: none are taken")
	flag.IntVar(&o.outstanding, "outstanding", 0, "actors under way at once in the sustained cases; 0: as the scale says")
	flag.BoolVar(&o.list, "list", false, "list the cases")
	flag.Parse()
	if o.binaries.bench, err = os.Executable(); err != nil {
		return o, err
	}
	switch {
	case flag.NArg() > 0:
		return o, fmt.Errorf("%q is no flag", flag.Arg(0))
	case o.out != "" && (o.quick || o.match != "" || o.outstanding != 0 || o.profiles != ""):
		return o, errors.New("-out takes a whole run: without -quick, -run, -outstanding and -profiles")
	case o.rounds < 1:
		return o, errors.New("-rounds: at least 1")
	}
	return o, nil
}

func run() error {
	o, err := parse()
	if err != nil {
		return err
	}
	wanted, err := regexp.Compile(o.match)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	if o.out != "" { // to be told now, not in twenty minutes
		if _, _, err := figuresOf(o.out); err != nil {
			return fmt.Errorf("-out: %w", err)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	scale := full
	if o.quick {
		scale, o.rounds = quick, 1
	}
	if o.outstanding > 0 {
		scale.outstanding = o.outstanding
	}
	all := newRecord()
	here := machine()
	for round := 1; round <= o.rounds; round++ {
		for _, c := range cases {
			if !wanted.MatchString(c.name) || round > 1 && c.once {
				continue
			}
			if o.list {
				fmt.Printf("%-16s %s\n", c.name, c.about)
				continue
			}
			fmt.Fprintf(os.Stderr, "round %d of %d: %s (load %s)\n", round, o.rounds, c.name, loadAverage())
			here.look(ctx)
			if err := runCase(ctx, o, scale, c, all); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
		if o.list {
			return nil
		}
	}
	text := report(all, here, scale, o.rounds)
	if o.out == "" {
		_, err = fmt.Print(text)
		return err
	}
	return replaceFigures(o.out, text)
}

// runCase gives a case a World of its own and removes what it leaves behind.
func runCase(ctx context.Context, o options, scale scale, c benchCase, all *record) (err error) {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(o.dir, strings.ReplaceAll(c.name, "/", "-")+"-*")
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	world, err := real.NewWorld(dir, real.Binaries{Callboard: o.binaries.callboard})
	if err != nil {
		return err
	}
	b := &bench{World: world, options: o, scale: scale, record: all}
	err = c.run(ctx, b)
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, world.Logs(15))
	}
	return errors.Join(err, world.Close(), os.RemoveAll(dir))
}

// bench is what a case works with.
type bench struct {
	*real.World
	options options
	scale   scale
	record  *record
}
