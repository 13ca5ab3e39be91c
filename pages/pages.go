// Package pages serves the web pages: for finding a call and hearing it, seeing that
// nothing is missing, handing out keys, and reading the audit trail.
//
// It decides which pages there are, who may see them and what they look like. Who a
// visitor is and what they may reach is up to account; what is known and held, to
// archive; how complete it is, to collect.
//
// It promises that every page works without JavaScript (except the player), that text
// from elsewhere is only ever shown as text, that neither a GET nor another site
// changes anything, and that a page neither loads from nor sends to anywhere else.
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

// Meter keeps the tenants' limits and usage: a meter.Memory, or a meter.Shared where
// several services share a database.
type Meter interface {
	delivery.Meter
	Usage(ctx context.Context, tenant *callvault.Tenant, now time.Time) (meter.Usage, error)
	Used(ctx context.Context, tenants []callvault.Tenant, now time.Time) ([]int64, error)
	Hours(ctx context.Context, tenant *callvault.Tenant, now time.Time) ([]meter.Hour, error)
	Counts(ctx context.Context, tenant string) (meter.Counts, time.Time)
}

// Config is what the pages work with. All fields are required unless stated otherwise.
type Config struct {
	Accounts *account.Accounts
	Meter    Meter
	Archive  *archive.Archive
	Log      *slog.Logger
	// Collector knows how complete the sources are; nil where nothing is collected.
	Collector *collect.Collector
	Sources   []Source
	// Version is the program's version.
	Version string
}

// Source is a source that the collector collects from, or used to.
type Source struct {
	*collect.Source
	URL      string            // "" if it is no longer in the configuration
	Schedule *collect.Schedule // nil if it is collected by hand only
}

func (s *Source) former() bool { return s.URL == "" }

// Pages is the http.Handler of the web pages.
type Pages struct {
	Config
	routes      *http.ServeMux
	assets      *assets
	templates   map[string]*template.Template
	crossOrigin *http.CrossOriginProtection
	allowance   allowance
	acting      sync.Mutex // held while a confirmed action on an account is carried out
	verified    verified
	stopping    chan struct{}
	stopOnce    sync.Once
	plays       plays
}

// New returns the pages that the config describes.
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

// Stopping ends the streams, which would otherwise go on for as long as somebody
// watches, so that the service can stop. Streams begun later end at once.
func (p *Pages) Stopping() { p.stopOnce.Do(func() { close(p.stopping) }) }
