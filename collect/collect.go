// Package collect pulls the recordings of many tenants from sources that speak
// the recordings API into an archive, within the sources' limits, and reports how
// complete the result is.
//
// It reaches sources only through package client, and stores recordings only
// through package archive. Its own tables are the ledger: what was listed, what is
// due, the state of each recording, and when the last requests were made.
//
// These words are used throughout. A run collects from one source: it asks for
// lists, and takes a turn for each tenant, in which that tenant's recordings are
// fetched. An item is a recording as the ledger has it. A site is a tenant as the
// ledger has it, with its name at the source, its remote name. A recording is
// lacking when the source offers it and its audio is not here. A list is final
// when the time that it covers had been over for the source's Lookback: no late
// recording can be missing from it.
//
// The package promises that a recording counts as held only when its audio is
// here, whole and durable; that whatever is missing is named; that no tenant gets
// a fourth request within 10.25 s, unless the operator owns the source; and that a
// run killed at any instant loses at most the requests in flight.
package collect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/client"
	"callvault/database"
)

// Source is a service to collect from: a base address and a key.
type Source struct {
	Name   string
	Client *client.Client
	// Renew, if not nil, returns the Client to use each time a run, or a turn of a
	// shared run, begins: the key may have changed. Besides an error it returns the
	// previous client; if that is nil, the run or turn fails.
	Renew func() (*client.Client, error)
	// Since is the first instant to collect, in Unix milliseconds.
	Since int64
	// Pace is the time between audio requests to one tenant: at least MinPace
	// unless OwnServer is set.
	Pace time.Duration
	// OwnServer says that the operator owns the source and knows its limits: only
	// Pace applies then.
	OwnServer bool
	// Lookback is how long after they started recordings may still appear late or
	// change; that stretch of time is listed again at each run.
	Lookback time.Duration
	// Prefix is put before the source's tenant names to make their names here.
	Prefix string
	// Agents is the number of recorded agents of each tenant, by its remote name.
	// It determines the tenant's egress limit at the source.
	Agents map[string]int64
}

// The defaults and bounds of a Source.
const (
	DefaultPace     = 3500 * time.Millisecond
	MinPace         = 3400 * time.Millisecond
	DefaultLookback = 120 * time.Hour
)

// Validate reports what makes the source impossible to collect from.
func (s *Source) Validate() error {
	switch {
	case s.Name == "":
		return errors.New("a source has no name")
	case !s.OwnServer && s.Pace < MinPace:
		return fmt.Errorf("a pace of %v is below %v, which only a service of your own allows (own_server = true)", s.Pace, MinPace)
	case s.Since < 0:
		return errors.New("since is before 1970, when no recording starts")
	case s.Pace < 0 || s.Lookback < 0:
		return errors.New("pace and lookback cannot be negative")
	}
	for remote, agents := range s.Agents {
		if err := (&callvault.Tenant{Name: s.Prefix + remote, Agents: &agents}).Validate(); err != nil {
			return fmt.Errorf("agents of %s: %w", remote, err)
		}
	}
	if s.Prefix != "" {
		return callvault.CheckKey("prefix", s.Prefix)
	}
	return nil
}

// Collector collects into an archive.
type Collector struct {
	db         *database.DB
	archive    *archive.Archive
	quarantine archive.Blobs
	log        *slog.Logger
	// ensureTenants makes the tenants known to whoever serves the archive.
	ensureTenants func(ctx context.Context, names []string) error

	refused refusals

	mu   sync.Mutex
	runs map[string]*Run // in this process, by source
	// runsChanged is closed and replaced when a run begins or ends.
	runsChanged chan struct{}
}

// Config is what a Collector works with. A Collector that only reports needs
// nothing but DB and Log.
type Config struct {
	DB      *database.DB
	Archive *archive.Archive
	// Quarantine keeps refused bodies, with the evidence.
	Quarantine archive.Blobs
	Log        *slog.Logger
	// EnsureTenants is called with the names of tenants before any of their
	// recordings is noted.
	EnsureTenants func(ctx context.Context, names []string) error
}

// New returns a collector.
func New(c Config) *Collector {
	return &Collector{
		db: c.DB, archive: c.Archive, quarantine: c.Quarantine, log: c.Log, ensureTenants: c.EnsureTenants, runs: map[string]*Run{}, runsChanged: make(chan struct{}),
	}
}
