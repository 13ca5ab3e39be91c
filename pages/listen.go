package pages

import (
	"fmt"
	"maps"
	"net/http"
	"sync"
	"time"

	"callvault"
	"callvault/account"
	"callvault/archive"
	"callvault/delivery"
)

// playAudio sends audio to be heard. The audit trail gets one entry for each time that
// somebody listens to a recording, however many parts the browser fetches.
func (p *Pages) playAudio(x *exchange) error {
	play := play{x.visitor.Session, x.pathValue("tenant"), x.pathValue("key")}
	first := x.r.Method == http.MethodGet && p.plays.begin(play, x.now)
	_, sent, err := p.sendAudio(x, true)
	if bytes := p.plays.end(play, first, sent, x.now); bytes > 0 {
		p.note(x, account.Event{Action: account.ActionPlay, Tenant: play.tenant, Recording: play.key, Bytes: bytes})
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

// sendAudio sends a recording's audio, charged to its tenant's egress, and returns how
// many bytes were sent.
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

// plays remembers who is listening to what, so that each play is noted once.
type plays struct {
	mu   sync.Mutex
	seen map[play]*playing
}

// play is a recording in a session, with the tenant and the key from the path.
type play struct{ session, tenant, key string }

// playing is a play of which a part was requested.
type playing struct {
	at    time.Time // of the last request
	bytes int64     // sent by requests other than the first
}

// playTime is how long after a request for a recording the next still belongs to the
// same play, and maxPlays how many plays are remembered before the oldest are dropped.
const (
	playTime = 30 * time.Minute
	maxPlays = 10_000
)

// begin is called before a part of a recording is sent. It reports whether that is the
// first of the play.
func (p *plays) begin(which play, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known := p.seen[which]; known != nil && now.Sub(known.at) <= playTime {
		known.at = now
		return false
	}
	p.remember(which, now)
	return true
}

// end is called after a part was sent, with what begin returned. It returns how many
// bytes to note for the play now, or 0 if nothing is to be noted. The first request
// notes the play; if it has sent nothing, it does so for others that have meanwhile, and
// otherwise leaves it to the next request that sends something.
func (p *plays) end(which play, first bool, sent int64, now time.Time) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.seen[which]
	switch {
	case first && sent == 0 && known != nil && known.bytes == 0:
		delete(p.seen, which)
	case first && sent == 0 && known != nil:
		return known.bytes
	case first:
		return sent
	case sent > 0 && known != nil:
		known.bytes += sent
	case sent > 0: // the first has sent nothing, and is over
		p.remember(which, now)
		return sent
	}
	return 0
}

// remember adds a play. If too many are remembered, it forgets those that are over, or
// else all. It needs the lock.
func (p *plays) remember(which play, now time.Time) {
	if len(p.seen) >= maxPlays {
		maps.DeleteFunc(p.seen, func(_ play, other *playing) bool { return now.Sub(other.at) > playTime })
	}
	if p.seen == nil || len(p.seen) >= maxPlays {
		p.seen = map[play]*playing{}
	}
	p.seen[which] = &playing{at: now}
}
