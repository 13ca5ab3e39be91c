package pages

import (
	"fmt"
	"sync"
	"time"

	"callvault"
)

// allowance limits how many requests the pages take from one visitor or address: so
// many that nobody reaches the limit by clicking, so few that no script can live on
// them. It is separate from a tenant's limit of API requests, which pages do not use up.
type allowance struct {
	mu     sync.Mutex
	window time.Time // when the present window began
	taken  map[string]int
}

const (
	allowanceWindow = 10 * time.Second
	allowanceCount  = 200
)

// take counts a request, or refuses it with a callvault.Wait. Requests that the browser
// makes by itself are free.
func (a *allowance) take(subject string, now time.Time, page string) error {
	if page == "static" || page == "alive" {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if since := now.Sub(a.window); since >= allowanceWindow || since < 0 {
		a.window, a.taken = now, map[string]int{}
	}
	if a.taken[subject] >= allowanceCount {
		return fmt.Errorf("that was a great many pages in a few seconds; wait a moment and try again: %w",
			callvault.Wait{Code: callvault.TooManyRequests, For: allowanceWindow - now.Sub(a.window)})
	}
	a.taken[subject]++
	return nil
}
