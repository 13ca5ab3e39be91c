package pages

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"callvault"
	"callvault/account"
	"callvault/archive"
	"callvault/delivery"
)

// playAudio sends audio to be heard. Of each time that somebody sits down to hear
// a recording the audit trail has one entry, however many parts his browser
// fetches.
func (p *Pages) playAudio(x *exchange) error {
	play := play{x.visitor.Session, x.pathValue("tenant"), x.pathValue("key")}
	first := x.r.Method == http.MethodGet && p.plays.begin(play, x.now)
	entry, sent, err := p.sendAudio(x, true)
	switch {
	case first && sent > 0:
		p.note(x, account.Event{Action: account.ActionPlay, Tenant: x.tenant, Recording: entry.Recording.RecordingKey, Bytes: sent})
	case first:
		p.plays.forget(play)
	}
	return err
}

// downloadAudio sends audio to be kept.
func (p *Pages) downloadAudio(x *exchange) error {
	if !x.visitor.May(callvault.Download) {
		return fmt.Errorf("%s may listen, but not download; an administrator can change that: %w", x.visitor.Name, callvault.Forbidden)
	}
	entry, sent, err := p.sendAudio(x, false)
	if sent > 0 {
		p.note(x, account.Event{Action: account.ActionDownload, Tenant: x.tenant, Recording: entry.Recording.RecordingKey, Bytes: sent})
	}
	return err
}

// sendAudio sends a recording's audio, charged to its tenant's egress, and tells
// how many bytes left.
func (p *Pages) sendAudio(x *exchange, inline bool) (*archive.Entry, int64, error) {
	format, err := delivery.RequestedFormat(x.r)
	if err != nil {
		return nil, 0, err
	}
	entry, err := p.findRecording(x)
	if err != nil {
		return nil, 0, err
	}
	if !entry.Recording.Status.HasAudio() {
		return nil, 0, fmt.Errorf("there is no audio to hear: %w", callvault.NotFound)
	}
	tenant, err := p.Accounts.Tenant(x.ctx(), x.tenant)
	if err != nil {
		return nil, 0, err
	}
	file, err := p.Archive.OpenAudio(x.ctx(), entry)
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	d := delivery.Delivery{Meter: p.Meter, Tenant: tenant, Entry: entry, Audio: file, Format: format, Inline: inline}
	sent, err := d.Send(x.out, x.r)
	return entry, sent, err
}

// plays remembers who hears what, so that it is told once.
type plays struct {
	mu   sync.Mutex
	seen map[play]time.Time
}

// play is a recording in a session; tenant and key stand as in the path.
type play struct{ session, tenant, key string }

// playTime is how long after the last part of a recording the next still belongs
// to it, and mostPlays how many are remembered before the oldest are dropped.
const (
	playTime  = 30 * time.Minute
	mostPlays = 10_000
)

// begin notes a part of a recording, and tells whether it is the first.
func (p *plays) begin(which play, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.seen) >= mostPlays {
		for other, at := range p.seen {
			if now.Sub(at) > playTime {
				delete(p.seen, other)
			}
		}
	}
	if p.seen == nil || len(p.seen) >= mostPlays {
		p.seen = map[play]time.Time{}
	}
	last, heard := p.seen[which]
	p.seen[which] = now
	return !heard || now.Sub(last) > playTime
}

// forget takes back what begin noted.
func (p *plays) forget(which play) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.seen, which)
}
