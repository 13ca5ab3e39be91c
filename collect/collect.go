// Package collect pulls the recordings of many tenants from sources that speak
// the recordings API into an archive, within the sources' limits, and can tell
// how complete that is.
//
// It knows sources only by the API's client, and keeps recordings only by the
// archive. Its own tables are the ledger: what was listed, what is due, how each
// recording stands, when the last requests were made.
//
// It promises that a recording counts as held only when its audio is here, whole
// and durable; that what is missing is named; that no tenant is asked a fourth
// time within 10.25 s unless its source is one's own; and that a run that is
// killed at any instant costs at most what was under way.
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

// Source is a place to collect from: a base address with a key.
type Source struct {
	Name   string
	Client *client.Client
	// Renew, where it is not nil, is asked for the Client as a run, or a turn that is
	// shared, begins: its key may have changed since. With an error it returns the
	// earlier one; nil, where there is none, and what has begun fails.
	Renew func() (*client.Client, error)
	// Since is the first instant to collect, in Unix milliseconds.
	Since int64
	// Pace is the time between audio requests to one tenant, at least MinPace
	// unless OwnServer.
	Pace time.Duration
	// OwnServer says that the source's limits are one's own to know: only Pace
	// holds then.
	OwnServer bool
	// Lookback is how long late and changed recordings are looked for.
	Lookback time.Duration
	// Prefix is put before the names of the source's tenants here.
	Prefix string
	// Agents is the number of recorded agents by the source's name of the
	// tenant, which gives its egress limit there.
	Agents map[string]int64
}

// The bounds of a Source.
const (
	DefaultPace     = 3500 * time.Millisecond
	MinPace         = 3400 * time.Millisecond
	DefaultLookback = 120 * time.Hour
)

// Validate tells whether the source can be collected from.
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
	// ensureTenants makes the tenants known to who serves the archive.
	ensureTenants func(ctx context.Context, names []string) error

	refused refusals

	mu   sync.Mutex
	runs map[string]*Run // at work in this process, by source
	// runsChanged is closed and made anew when a run begins or ends.
	runsChanged chan struct{}
}

// Config is what a Collector works with. One that is only asked how complete the
// collecting is needs DB and Log alone.
type Config struct {
	DB      *database.DB
	Archive *archive.Archive
	// Quarantine keeps what was refused, with the evidence.
	Quarantine archive.Blobs
	Log        *slog.Logger
	// EnsureTenants is called with the names of tenants before their recordings
	// are noted.
	EnsureTenants func(ctx context.Context, names []string) error
}

// New returns a collector.
func New(c Config) *Collector {
	return &Collector{
		db: c.DB, archive: c.Archive, quarantine: c.Quarantine, log: c.Log, ensureTenants: c.EnsureTenants, runs: map[string]*Run{}, runsChanged: make(chan struct{}),
	}
}
