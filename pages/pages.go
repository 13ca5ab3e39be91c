// Package pages is the web pages: to find a call and hear it, to see that nothing
// is missing, to hand out keys, and to look into the audit trail.
//
// It says which page stands where, who may see it and what it looks like. Who
// somebody is, and what he may reach, is account's; what is known and held is the
// archive's; how complete it is, collect's.
//
// It promises that a page works without JavaScript (the player apart), that text
// from elsewhere is only ever text, that nothing is changed by a GET or from
// another site, and that a page neither loads nor sends anything elsewhere.
package pages

import (
	"context"
	"html/template"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"callvault"
	"callvault/account"
	"callvault/archive"
	"callvault/collect"
	"callvault/delivery"
	"callvault/meter"
)

// Meter is the tenants' limits and their use: a meter.Memory, or, where many
// services share a database, a meter.Shared.
type Meter interface {
	delivery.Meter
	Usage(ctx context.Context, tenant *callvault.Tenant, now time.Time) (meter.Usage, error)
	Used(ctx context.Context, tenants []callvault.Tenant, now time.Time) ([]int64, error)
	Hours(ctx context.Context, tenant *callvault.Tenant, now time.Time) ([]meter.Hour, error)
	Counts(ctx context.Context, tenant string) (meter.Counts, time.Time)
}

// Config is what the pages work with. All fields are needed unless said otherwise.
type Config struct {
	Accounts *account.Accounts
	Meter    Meter
	Archive  *archive.Archive
	Log      *slog.Logger
	// Collector tells how complete the sources are; nil where nothing is collected.
	Collector *collect.Collector
	Sources   []Source
	// Version is the program's.
	Version string
}

// Source is a source that the collector collects from, or did.
type Source struct {
	*collect.Source
	URL      string            // "" when it is in the configuration no more
	Schedule *collect.Schedule // nil when it is collected by hand only
}

func (s *Source) former() bool { return s.URL == "" }

// Pages answers requests for pages. It is an http.Handler.
type Pages struct {
	Config
	routes      *http.ServeMux
	assets      *assets
	templates   map[string]*template.Template
	crossOrigin *http.CrossOriginProtection
	allowance   allowance
	acting      sync.Mutex // held while a question about an account is answered
	verified    verified
	stopping    chan struct{}
	stopOnce    sync.Once
	plays       plays
}

// New returns the pages over the config.
func New(config Config) (*Pages, error) {
	files, err := loadAssets()
	if err != nil {
		return nil, err
	}
	p := &Pages{Config: config, assets: files, crossOrigin: http.NewCrossOriginProtection(), stopping: make(chan struct{})}
	if p.templates, err = p.loadTemplates(); err != nil {
		return nil, err
	}
	p.routes = http.NewServeMux()
	for _, r := range allRoutes() {
		p.routes.Handle(r.path, p.handler(r))
	}
	return p, nil
}

// Stopping ends the streams that would go on as long as somebody watches, so that
// the service can stop. Later ones end at once.
func (p *Pages) Stopping() { p.stopOnce.Do(func() { close(p.stopping) }) }
