package collect

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// The events that are alerted.
const (
	EventFinished   = "run_finished"
	EventIncomplete = "run_incomplete"
	EventFailed     = "source_failed"
	EventClosed     = "tenant_closed"
	EventStale      = "tenant_stale" // no complete run for StaleAfter
	EventSilent     = "no_run"       // no run succeeded for SilentAfter
)

// StaleAfter is how old a tenant's last complete run may be (the sources expect pulls
// "no less frequently than every 5 days"), SilentAfter how long a source may be without a
// successful run.
const (
	StaleAfter  = 4 * 24 * time.Hour
	SilentAfter = 26 * time.Hour
)

// Event is something that an operator wants to know, as it is sent. At is Unix
// milliseconds.
type Event struct {
	Event   string  `json:"event"`
	At      int64   `json:"at"`
	Source  string  `json:"source"`
	Tenant  string  `json:"tenant,omitempty"`
	Message string  `json:"message"`
	Report  *Report `json:"report,omitempty"`
}

// Alerts sends events to a webhook. With a Secret each is signed: the header
// X-Callvault-Signature is "sha256=" and the HMAC-SHA256 of the body, keyed with the
// secret, in hexadecimal.
type Alerts struct {
	URL    string
	Secret []byte
	Log    *slog.Logger
	HTTP   *http.Client
}

// alertTries is how often sending an event is tried at most.
const alertTries = 6

// Send sends an event, and tries again for a few minutes while it is not taken. It
// reports false if the event was not taken in the end; without a URL, it does nothing and
// reports true.
func (a *Alerts) Send(ctx context.Context, e Event) (taken bool) {
	if a == nil || a.URL == "" {
		return true
	}
	e.At = time.Now().UnixMilli()
	body, err := json.Marshal(e)
	if err != nil {
		a.Log.Error("alert", "event", e.Event, "error", err)
		return true
	}
	waits := backoff.NewExponentialBackOff()
	waits.InitialInterval, waits.Multiplier, waits.MaxInterval = time.Second, 3, time.Minute
	_, err = backoff.Retry(ctx, func() (bool, error) { return true, a.post(ctx, body) }, backoff.WithBackOff(waits), backoff.WithMaxTries(alertTries))
	if err != nil {
		a.Log.Error("alert was not taken", "event", e.Event, "source", e.Source, "tenant", e.Tenant, "error", err)
	}
	return err == nil
}

func (a *Alerts) post(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(body))
	if err != nil {
		return backoff.Permanent(fmt.Errorf("webhook: %w", err))
	}
	request.Header.Set("Content-Type", "application/json")
	if len(a.Secret) > 0 {
		mac := hmac.New(sha256.New, a.Secret)
		mac.Write(body)
		request.Header.Set("X-Callvault-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	poster := *a.HTTP
	poster.CheckRedirect = onlyPosts
	response, err := poster.Do(request)
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err // without the address, which often contains a secret
	}
	if err != nil {
		return fmt.Errorf("webhook: %w", err)
	}
	defer response.Body.Close()
	switch response.StatusCode / 100 {
	case 2:
		return nil
	case 3:
		return fmt.Errorf("webhook: the answer was %s; name the address that takes the POST itself", response.Status)
	}
	return fmt.Errorf("webhook: the answer was %s", response.Status)
}

// onlyPosts follows redirects with 307 and 308. The others turn the request into a GET
// without the event, and any page that came back would pass for the event having been
// taken.
func onlyPosts(request *http.Request, _ []*http.Request) error {
	if request.Method != http.MethodPost {
		return http.ErrUseLastResponse
	}
	return nil
}

// SendReport sends the events of a run's report: the report itself first, then one for each
// closed tenant. Once one is not taken, the rest, which the report has too, is left out:
// with many closed tenants, trying each for minutes would delay the next run for hours.
func (a *Alerts) SendReport(ctx context.Context, report *Report) {
	e := Event{Source: report.Source, Report: report}
	switch report.Result {
	case Complete:
		e.Event, e.Message = EventFinished, fmt.Sprintf("%d recordings were fetched, nothing is missing", report.Held)
	case Incomplete:
		e.Event, e.Message = EventIncomplete, fmt.Sprintf("%d recordings were fetched; there are %d problems", report.Held, len(report.Problems))
	default:
		e.Event, e.Message = EventFailed, report.Error
	}
	taken := a.Send(ctx, e)
	for _, t := range report.Tenants {
		if taken && t.ClosedUntil != nil && report.Result != Failed { // a failed run did not close it
			taken = a.Send(ctx, Event{Event: EventClosed, Source: report.Source, Tenant: t.Tenant,
				Message: fmt.Sprintf("the egress limit is used up until %s; %d recordings wait", moment(*t.ClosedUntil), t.Lacking)})
		}
	}
}

// Watch sends, until ctx ends, events about tenants without a complete run for StaleAfter
// and sources without a successful run for SilentAfter: one for each, and another if it
// was not taken or if the condition ended in between. It reads the ledger and does not
// depend on runs, which may not happen at all.
func (c *Collector) Watch(ctx context.Context, sources []*Source, alerts *Alerts) error {
	w := &watch{alerts: alerts, began: time.Now(), reported: map[string]bool{}}
	tick := time.NewTicker(5 * time.Minute)
	defer tick.Stop()
	for {
		w.undelivered = false
		for _, source := range sources {
			if err := c.watchSource(ctx, source, w); err != nil && ctx.Err() == nil {
				c.log.Error("watch", "source", source.Name, "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// watch is the state of Watch.
type watch struct {
	alerts      *Alerts
	began       time.Time
	reported    map[string]bool // by event, source and tenant
	undelivered bool            // an event of this round was not taken
}

// check sends e if what it is about last happened at at, in Unix milliseconds and 0 for
// never, and that is longer ago than after.
func (w *watch) check(ctx context.Context, log *slog.Logger, e Event, at int64, after time.Duration) {
	// If it never happened, the wait began with the watch; likewise if a wrong clock has
	// recorded a time in the future.
	since := w.began
	if at > 0 && at <= time.Now().Add(clockSlack).UnixMilli() {
		since = time.UnixMilli(at)
	}
	id := e.Event + "/" + e.Source + "/" + e.Tenant
	if time.Since(since) <= after {
		w.reported[id] = false
		return
	}
	if w.reported[id] || w.undelivered {
		return
	}
	log.Error(e.Message, "source", e.Source, "tenant", e.Tenant)
	w.reported[id] = w.alerts.Send(ctx, e)
	w.undelivered = !w.reported[id]
}

func (c *Collector) watchSource(ctx context.Context, source *Source, w *watch) error {
	var succeeded int64
	err := c.db.Reader.QueryRowContext(ctx, `SELECT coalesce(max(complete_ms), 0)
		FROM sources WHERE name = $1`, source.Name).Scan(&succeeded)
	if err != nil {
		return err
	}
	w.check(ctx, c.log, Event{Event: EventSilent, Source: source.Name, Message: "no run has succeeded for 26 hours"}, succeeded, SilentAfter)
	sites, err := c.sites(ctx, source.Name)
	for _, s := range sites {
		e := Event{Event: EventStale, Source: source.Name, Tenant: s.tenant, Message: "no complete run for 4 days; the source may delete what is not fetched"}
		w.check(ctx, c.log, e, s.completeMs, StaleAfter)
	}
	return err
}
