package pages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"callvault/collect"
)

// progress is how far a run is, as the page shows it: of the tenants that its
// reader may reach. Of a run in another process only what is lacking is known.
type progress struct {
	Source  string             `json:"source"`
	Here    bool               `json:"here"`
	Runner  string             `json:"runner"`
	Began   int64              `json:"began"` // Unix milliseconds
	Lists   int                `json:"lists"` // still to ask for
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

// progressOf tells how far the run over a source is that is at work.
func (p *Pages) progressOf(x *exchange, status *collect.SourceStatus, lacking int64) *progress {
	told := &progress{Source: status.Source, Runner: status.Runner, Lacking: lacking}
	if run, here := p.Collector.Progress()[status.Source]; here {
		told.watch(x, &run)
	}
	return told
}

// watch tells of a run of this process. What is told of it is summed up anew, of
// the tenants that the reader may reach.
func (told *progress) watch(x *exchange, run *collect.RunProgress) {
	told.Here, told.Began, told.Lists = true, run.Began, run.ListsLeft
	var left time.Duration
	for _, t := range run.Tenants {
		if !x.visitor.MayReach(t.Tenant) {
			continue
		}
		told.Done, told.Due, told.Bytes = told.Done+t.Done, told.Due+t.Due, told.Bytes+t.Bytes
		left = max(left, t.Left)
		if t.State != "done" && len(told.Tenants) < rowsAtOnce {
			told.Tenants = append(told.Tenants, progressOfTenant{t.Tenant, t.State, t.Done, t.Due})
		}
	}
	if left > 0 {
		told.Left = durationText(left)
	}
}

// How often a stream tells of runs of this process, and asks after those of others;
// and how often it says that it is there.
const (
	tellEvery  = time.Second
	otherEvery = 5 * time.Second
	pulseEvery = 15 * time.Second
)

// streamProgress tells as server-sent events how far runs are, while it changes. It
// ends with the session, with the service, and when the reader is gone.
func (p *Pages) streamProgress(x *exchange) error {
	if err := x.seesWhole(); err != nil {
		return err
	}
	if p.Collector == nil || len(p.Sources) == 0 {
		x.out.WriteHeader(http.StatusNoContent) // tells a browser not to come again
		return nil
	}
	x.out.Header().Set("Content-Type", "text/event-stream")
	x.out.Header().Set("X-Accel-Buffering", "no") // proxies must not wait for more
	x.out.WriteHeader(http.StatusOK)
	var last []byte
	told := time.Time{}
	for {
		turned := p.Collector.RunsChanged()
		x.visitor = nil
		if err := p.meet(x); err != nil || x.visitor == nil || x.seesWhole() != nil {
			return nil // who comes again is asked to sign in
		}
		event, next, err := p.progressEvent(x)
		if err != nil {
			x.err = err
			return nil
		}
		if now := time.Now(); !bytes.Equal(event, last) {
			last, told = event, now
			_, err = fmt.Fprintf(x.out, "retry: 3000\ndata: %s\n\n", event)
		} else if now.Sub(told) >= pulseEvery {
			told = now
			_, err = fmt.Fprint(x.out, ": here\n\n")
		}
		if err == nil {
			err = x.out.Control.Flush()
		}
		if err != nil || !p.rest(x, turned, next) {
			return nil
		}
	}
}

// rest waits until there may be something to tell; false when the stream is to end.
func (p *Pages) rest(x *exchange, turned <-chan struct{}, next time.Duration) bool {
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

// progressEvent is how far all runs are, and when to look again.
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
		told, wait := p.progressOf(x, &status, 0), tellEvery
		if !told.Here {
			wait = otherEvery
			glances, err := p.Collector.Glances(x.ctx(), &collect.GlanceQuery{Source: source, Include: x.visitor.MayReach}, time.Now())
			if err != nil {
				return nil, 0, err
			}
			for i := range glances {
				told.Lacking += glances[i].Lacking()
			}
		}
		next = min(next, wait)
		if told.Here && len(told.Tenants) == 0 && !x.visitor.AllTenants && told.Done == 0 {
			continue // nothing of it is the reader's
		}
		all = append(all, told)
	}
	event, err = json.Marshal(map[string]any{"runs": all})
	return event, next, err
}

// Total is how many recordings the run is known to be over.
func (told *progress) Total() int { return told.Done + told.Due }

// Total is how many recordings of the tenant the run is known to be over.
func (told progressOfTenant) Total() int { return told.Done + told.Due }
