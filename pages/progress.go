package pages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"callvault/collect"
)

// progress is how far a run has got, as the page shows it, over the tenants that the
// visitor may reach. Of a run in another process, only the number of recordings still
// to fetch is known.
type progress struct {
	Source  string             `json:"source"`
	Here    bool               `json:"here"` // the run is in this process
	Runner  string             `json:"runner"`
	Began   int64              `json:"began"` // Unix milliseconds
	Lists   int                `json:"lists"` // still to be fetched
	Done    int                `json:"done"`
	Due     int                `json:"due"`
	Bytes   int64              `json:"bytes"`
	Left    string             `json:"left"`
	Lacking int64              `json:"lacking"`
	Tenants []progressOfTenant `json:"tenants"`
}

type progressOfTenant struct {
	Tenant string `json:"tenant"`
	State  string `json:"state"`
	Done   int    `json:"done"`
	Due    int    `json:"due"`
}

// progressOf returns how far the present run over a source has got.
func (p *Pages) progressOf(x *exchange, status *collect.SourceStatus, lacking int64) *progress {
	pr := &progress{Source: status.Source, Runner: status.Runner, Lacking: lacking}
	if run, here := p.Collector.Progress()[status.Source]; here {
		pr.addRun(x, &run)
	}
	return pr
}

// addRun fills in what is known of a run in this process. The sums are made here, over
// the tenants that the visitor may reach.
func (pr *progress) addRun(x *exchange, run *collect.RunProgress) {
	pr.Here, pr.Began, pr.Lists = true, run.Began, run.ListsLeft
	var left time.Duration
	for _, t := range run.Tenants {
		if !x.visitor.MayReach(t.Tenant) {
			continue
		}
		pr.Done, pr.Due, pr.Bytes = pr.Done+t.Done, pr.Due+t.Due, pr.Bytes+t.Bytes
		left = max(left, t.Left)
		if t.State != collect.StateDone && len(pr.Tenants) < rowsAtOnce {
			pr.Tenants = append(pr.Tenants, progressOfTenant{t.Tenant, t.State, t.Done, t.Due})
		}
	}
	if left > 0 {
		pr.Left = durationText(left)
	}
}

// How often a stream reports runs in this process and looks for runs in others, and how
// often it sends a comment so that the connection stays open.
const (
	tellEvery  = time.Second
	otherEvery = 5 * time.Second
	pulseEvery = 15 * time.Second
)

// streamProgress sends how far runs have got as server-sent events, one for each change.
// It ends with the session, with the service, and when the client goes away.
func (p *Pages) streamProgress(x *exchange) error {
	if err := x.seesWhole(); err != nil {
		return err
	}
	if p.Collector == nil || len(p.Sources) == 0 {
		x.out.WriteHeader(http.StatusNoContent) // tells the browser not to reconnect
		return nil
	}
	x.out.Header().Set("Content-Type", "text/event-stream")
	x.out.Header().Set("X-Accel-Buffering", "no") // proxies must not buffer it
	x.out.WriteHeader(http.StatusOK)
	var last []byte
	sent := time.Time{}
	for {
		turned := p.Collector.RunsChanged()
		x.visitor = nil
		if err := p.identify(x); err != nil || x.visitor == nil || x.seesWhole() != nil {
			return nil // the browser reconnects and is asked to sign in
		}
		event, next, err := p.progressEvent(x)
		if err != nil {
			x.err = err
			return nil
		}
		if now := time.Now(); !bytes.Equal(event, last) {
			last, sent = event, now
			_, err = fmt.Fprintf(x.out, "retry: 3000\ndata: %s\n\n", event)
		} else if now.Sub(sent) >= pulseEvery {
			sent = now
			_, err = fmt.Fprint(x.out, ": here\n\n")
		}
		if err == nil {
			err = x.out.Control.Flush()
		}
		if err != nil || !p.awaitChange(x, turned, next) {
			return nil
		}
	}
}

// awaitChange waits until there may be something to report, for next at most. It returns
// false when the stream is to end.
func (p *Pages) awaitChange(x *exchange, turned <-chan struct{}, next time.Duration) bool {
	timer := time.NewTimer(next)
	defer timer.Stop()
	select {
	case <-x.ctx().Done():
		return false
	case <-p.stopping:
		return false
	case <-turned:
	case <-timer.C:
	}
	return true
}

// progressEvent returns how far all runs have got, as JSON, and how long to wait before
// looking again.
func (p *Pages) progressEvent(x *exchange) (event []byte, next time.Duration, err error) {
	all, next := []*progress{}, pulseEvery
	for i := range p.Sources {
		source := p.Sources[i].Source
		status, err := p.Collector.SourceStatus(x.ctx(), source.Name)
		if err != nil {
			return nil, 0, err
		}
		if !status.Running {
			continue
		}
		pr, wait := p.progressOf(x, &status, 0), tellEvery
		if !pr.Here {
			wait = otherEvery
			glances, err := p.Collector.Glances(x.ctx(), &collect.GlanceQuery{Source: source, Include: x.visitor.MayReach}, time.Now())
			if err != nil {
				return nil, 0, err
			}
			for i := range glances {
				pr.Lacking += glances[i].Lacking()
			}
		}
		next = min(next, wait)
		if pr.Here && len(pr.Tenants) == 0 && !x.visitor.AllTenants && pr.Done == 0 {
			continue // none of it is within the visitor's reach
		}
		all = append(all, pr)
	}
	event, err = json.Marshal(map[string]any{"runs": all})
	return event, next, err
}

// Total returns how many recordings the run is known to cover.
func (pr *progress) Total() int { return pr.Done + pr.Due }

// Total returns how many recordings of the tenant the run is known to cover.
func (pr progressOfTenant) Total() int { return pr.Done + pr.Due }
