package collect

import (
	"maps"
	"sync"

	"callvault/client"
)

// Refused identifies answers of a source other than 200: to requests for a tenant's audio
// or, if Tenant is "", for lists.
type Refused struct {
	Source, Tenant string
	Status         int
}

// refusals counts such answers.
type refusals struct {
	mu    sync.Mutex
	count map[Refused]int64
}

// add counts err if it is a source's refusal.
func (r *refusals) add(source, tenant string, err error) {
	refusal, ok := client.RefusalOf(err)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == nil {
		r.count = map[Refused]int64{}
	}
	r.count[Refused{source, tenant, refusal.Status}]++
}

// Refusals returns how often the sources have refused since this process began.
func (c *Collector) Refusals() map[Refused]int64 {
	c.refused.mu.Lock()
	defer c.refused.mu.Unlock()
	return maps.Clone(c.refused.count)
}
