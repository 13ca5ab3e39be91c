//go:build linux

// Command bench measures callvault beside programs that do part of its work, in one
// run on one machine, and prints the ratios and their targets.
//
// It makes its own data and starts its own servers on free ports of the loopback
// interface, all in a temporary folder. It is started by bench/run.
// docs/performance.md explains the figures.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// bench is a run of benchmarks.
type bench struct {
	dir       string // a temporary folder
	callvault string // the path of the program
	rounds    int
	length    time.Duration // how long a measurement under load takes
}

var benchmarks = []struct {
	name string
	run  func(context.Context, *bench) error
}{
	{"audio", audio}, {"list", list}, {"import", imports}, {"collect", collects}, {"search", search},
	{"decisions", decisions}, {"pacing", pacing}, {"cluster", clustered}, {"scale", scale},
	{"cluster-audio", overPostgreSQL((*bench).clusterAudio)}, {"cluster-list", overPostgreSQL((*bench).clusterList)},
	{"cluster-decisions", clusterDecisions},
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "bare" { // one of the servers measured: bench bare ADDRESS DIR
		fmt.Fprintln(os.Stderr, "bench:", serveBare(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	if len(os.Args) == 4 && os.Args[1] == "proxy" { // likewise: bench proxy ADDRESS STORE
		fmt.Fprintln(os.Stderr, "bench:", serveProxy(os.Args[2], os.Args[3]))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run runs the named benchmarks.
func run(ctx context.Context, args []string) error {
	b := &bench{
		callvault: os.Getenv("BENCH_CALLVAULT"),
		rounds:    number("BENCH_ROUNDS", 5),
		length:    time.Duration(number("BENCH_SECONDS", 3)) * time.Second,
	}
	var err error
	if b.dir, err = os.MkdirTemp("", "callvault-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	for _, name := range args {
		known := false
		for _, one := range benchmarks {
			if name == one.name || name == "all" && one.name != "scale" && !strings.HasPrefix(one.name, "cluster") { // those need more programs, and an hour
				known = true
				if err := one.run(ctx, b); err != nil {
					return fmt.Errorf("%s: %w", one.name, err)
				}
			}
		}
		if !known {
			return errors.New("there is no benchmark " + name)
		}
	}
	return nil
}

// number reads a positive integer from the environment, or returns otherwise.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(strings.TrimSpace(os.Getenv(name))); err == nil && n > 0 {
		return n
	}
	return otherwise
}
