package collect

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"callvault"
	"callvault/client"
)

// backoffs are the waits before a transient failure is tried again.
var backoffs = []time.Duration{time.Second, 4 * time.Second, 16 * time.Second}

// The bounds of patience: how often one request is made again after 429, how many
// lists and how many recordings of a tenant in a row may fail before they are left
// for this run.
const (
	tooManyTries  = 30
	listFailures  = 5
	audioFailures = 20
)

// keepPatience is how long a turn goes on while the archive's store takes nothing: each
// recording that it fetches meanwhile is fetched for nothing.
const keepPatience = time.Minute

// patience counts how often one request was tried.
type patience struct {
	failed  int
	tooMany int           // answered 429, which is no failure
	delayed time.Duration // how long the source has said in all that it is to be left alone
}

// spent tells whether the source has put the request off for longer than a run waits
// for anything, be it a little at a time.
func (n *patience) spent() bool { return n.delayed > maxWait }

// localFault is a failure on this side, which trying again does not mend.
type localFault struct{ error }

// Unwrap is the failure.
func (f localFault) Unwrap() error { return f.error }

// again tells whether a request that failed is worth another try, and makes the
// pacer wait as long as it should.
func (n *patience) again(p *pacer, err error) bool {
	var code callvault.Code
	refused := errors.As(err, &code)
	var wait callvault.Wait
	after := errors.As(err, &wait)
	switch {
	case errors.Is(err, context.Canceled), errors.As(err, new(localFault)):
		return false
	case errors.Is(err, callvault.TooManyRequests):
		d := 10 * time.Second
		if after {
			d = wait.For
		}
		p.delay(d)
		p.slowDown()
		n.tooMany++
		n.delayed += d
		return n.tooMany <= tooManyTries && !n.spent()
	case refused && code < callvault.Internal, errors.Is(err, client.Untrusted), errors.Is(err, client.Redirected), errors.Is(err, client.BadAnswer):
		return false
	}
	if after {
		p.delay(wait.For)
		n.delayed += wait.For
	}
	if n.failed == len(backoffs) {
		return false
	}
	if !after {
		p.delay(backoffs[n.failed] + rand.N(backoffs[n.failed]/4))
	}
	n.failed++
	return true
}
