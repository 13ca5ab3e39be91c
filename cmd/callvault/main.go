// Callvault keeps call recordings: it serves them over the recordings API, and
// collects and imports them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"callvault"
	"callvault/account"
	"callvault/archive"
	"callvault/database"

	_ "modernc.org/sqlite"
)

// Exit statuses.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitIncomplete  = 3
	exitInterrupted = 130
)

// usageError is a command line that cannot be understood.
type usageError struct{ error }

// errIncomplete says that a command did its work but found faults, and has printed
// them.
var errIncomplete = errors.New("incomplete")

// resultWriter is standard output. It remembers the first error of writing to it: a
// command whose results nobody could read has failed.
type resultWriter struct {
	to  io.Writer
	err error
}

// Write writes a part of the results.
func (w *resultWriter) Write(part []byte) (int, error) {
	n, err := w.to.Write(part)
	if w.err == nil {
		w.err = err
	}
	return n, err
}

func main() { os.Exit(run()) }

// run runs the command line and returns the exit status.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal kills the program, unless a command handles it
	log.SetOutput(io.Discard)    // net/http logs there what a source sends unasked
	// The requests of a service have contexts of their own, which are not patient.
	ctx = database.Patient(ctx)
	root := newCommand()
	out := &resultWriter{to: os.Stdout}
	root.SetOut(out)
	root.SetArgs(commandFirst(root, os.Args[1:]))
	err := root.ExecuteContext(account.As(ctx, account.Actor{Who: operator(), Via: account.ViaCommandLine}))
	if out.err != nil && (err == nil || errors.Is(err, errIncomplete)) {
		err = fmt.Errorf("the results could not be written: %w", out.err)
	}
	if err == nil {
		return exitDone
	}
	var usage usageError
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(os.Stderr, "callvault: interrupted")
		return exitInterrupted
	case errors.Is(err, errIncomplete):
		return exitIncomplete
	case errors.As(err, &usage):
		fmt.Fprintf(os.Stderr, "callvault: %s (see --help)\n", forPeople(err))
		return exitUsage
	case errors.Is(archive.StorageError(err), callvault.InsufficientStorage):
		err = fmt.Errorf("no room is left on the disk; make room and run the command again: %w", err)
	}
	fmt.Fprintf(os.Stderr, "callvault: %v\n", forPeople(err))
	return exitFailed
}
