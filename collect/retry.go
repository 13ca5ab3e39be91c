package collect

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"callvault"
	"callvault/client"
)

// backoffs are the waits between tries of a request that fails transiently.
var backoffs = []time.Duration{time.Second, 4 * time.Second, 16 * time.Second}

// The bounds of patience: how often one request is repeated after 429, and how many
// lists, or recordings of a tenant, may fail in a row before the run gives up on the
// source, or on the tenant.
const (
	tooManyTries  = 30
	listFailures  = 5
	audioFailures = 20
)

// storePatience is how long a turn goes on while the archive's store takes nothing: every
// recording fetched meanwhile is fetched in vain.
const storePatience = time.Minute

// patience counts the tries of one request.
type patience struct {
	failed  int
	tooMany int           // answers 429, which are not failures
	delayed time.Duration // the sum of the waits that the source asked for
}

// spent reports whether the source has put the request off for longer than maxWait in
// all.
func (n *patience) spent() bool { return n.delayed > maxWait }

// localFault is a failure on our side, such as of the database or the archive, which
// asking the source again does not repair.
type localFault struct{ error }

// Unwrap returns the failure.
func (f localFault) Unwrap() error { return f.error }

// again reports whether a failed request is worth another try, and delays the pacer
// until then.
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
