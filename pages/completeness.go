package pages

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"callvault"
	"callvault/collect"
)

var completenessRoutes = []route{
	{path: "/completeness", name: "completeness", who: visitor, get: (*Pages).showCompleteness},
	{path: "/completeness/events", name: "progress", who: visitor, get: (*Pages).streamProgress},
	{path: "/completeness/{source}/{tenant}", name: "calendar", who: visitor, get: (*Pages).showCalendar},
	{path: "/certificate/{tenant}", name: "certificate", who: visitor, get: (*Pages).showCertificate},
	{path: "/certificate/{tenant}/certificate.json", name: "certificate", who: visitor, get: (*Pages).sendCertificate},
	{path: "/certificate/{tenant}/hashes.txt", name: "hashes", who: visitor, get: (*Pages).sendHashes, file: true},
}

// seesWhole returns an error if the visitor is narrowed to some agents or skills. From
// counts over whole tenants, such a visitor would learn of recordings they may not hear.
func (x *exchange) seesWhole() error {
	if !seesWhole(x.visitor) {
		return fmt.Errorf("this page counts all recordings of a tenant, and %s may hear only those of some agents or skills: %w",
			x.visitor.Name, callvault.Forbidden)
	}
	return nil
}

func seesWhole(v *Visitor) bool { return len(v.Agents)+len(v.Skills) == 0 }

// tenantsOf returns the tenants that the visitor may reach, by name.
func tenantsOf(x *exchange) map[string]callvault.Tenant {
	reached := map[string]callvault.Tenant{}
	for _, t := range x.visitor.Tenants() {
		reached[t.Name] = t
	}
	return reached
}

// stripDays is how many days the page of all tenants shows for each.
const stripDays = 35

// sourceCard is a source as the page shows it.
type sourceCard struct {
	Status  collect.SourceStatus
	Live    *progress
	Former  bool // it is no longer in the configuration
	Silent  bool // no run has succeeded for too long
	Tenants int  // how many the visitor may reach
	Lacks   int  // how many of these are incomplete
	Rows    []tenantRow
	First   string // the addresses of other pages of the list; "" for none
	Next    string
}

// tenantRow is a tenant of a source as the page shows it.
type tenantRow struct {
	collect.Glance
	Zone  string
	Title string
	Stale bool
	Strip dayStrip
}

func (p *Pages) showCompleteness(x *exchange) error {
	if err := x.seesWhole(); err != nil {
		return err
	}
	tenants := tenantsOf(x)
	var cards []sourceCard
	collected := map[string]bool{}
	for i := range p.Sources {
		card, err := p.sourceCard(x, &p.Sources[i], tenants, collected)
		if err != nil {
			return err
		}
		if card.Tenants > 0 || x.visitor.AllTenants {
			cards = append(cards, *card)
		}
	}
	direct, err := p.directTenants(x, tenants, collected)
	if err != nil {
		return err
	}
	return p.render(x, "completeness", view{Title: "Completeness", Here: "/completeness", Data: map[string]any{
		"Sources": cards, "Direct": direct, "Find": findText(x), "Long": len(tenants) > rowsAtOnce,
	}})
}

func (p *Pages) sourceCard(x *exchange, source *Source, tenants map[string]callvault.Tenant, collected map[string]bool) (*sourceCard, error) {
	card := &sourceCard{}
	var err error
	if card.Status, err = p.Collector.SourceStatus(x.ctx(), source.Name); err != nil {
		return nil, err
	}
	card.Status.URL, card.Former, card.Silent = source.URL, source.former(), card.Status.Silent(x.now) && !source.former()
	if source.Schedule != nil {
		next := source.Schedule.Next(x.now).UnixMilli()
		card.Status.NextRunAt = &next
	}
	query := &collect.GlanceQuery{Source: source.Source,
		Include: func(name string) bool { _, ok := tenants[name]; return ok },
		ZoneOf:  func(name string) *time.Location { return zoneOf(tenants[name].TimeZone) },
	}
	glances, err := p.Collector.Glances(x.ctx(), query, x.now)
	if err != nil {
		return nil, err
	}
	var lacking int64
	for i := range glances {
		collected[glances[i].Tenant] = true
		lacking += glances[i].Lacking()
		if glances[i].State == collect.DayIncomplete {
			card.Lacks++
		}
	}
	card.Tenants = len(glances)
	if card.Status.Running {
		card.Live = p.progressOf(x, &card.Status, lacking)
	}
	shown := map[string]int{}
	for i, g := range card.page(x, matching(glances, tenants, findText(x))) {
		shown[g.Tenant] = i
	}
	query.Days, query.Include = stripDays, func(name string) bool { _, ok := shown[name]; return ok }
	if glances, err = p.Collector.Glances(x.ctx(), query, x.now); err != nil {
		return nil, err
	}
	card.Rows = make([]tenantRow, len(shown))
	for _, g := range glances {
		t := tenants[g.Tenant]
		card.Rows[shown[g.Tenant]] = tenantRow{Glance: g, Zone: t.TimeZone, Title: t.Title, Stale: g.Stale(x.now) && !card.Former, Strip: stripOf(g.Days)}
	}
	return card, nil
}

// page returns the part of a source's tenants that the address asks for. Tenants that
// need attention come first.
func (card *sourceCard) page(x *exchange, glances []collect.Glance) []collect.Glance {
	slices.SortStableFunc(glances, func(a, b collect.Glance) int { return cmp.Compare(attention(&a, x.now), attention(&b, x.now)) })
	query := x.r.URL.Query()
	at := 0
	if query.Get("source") == card.Status.Source {
		at, _ = strconv.Atoi(query.Get("from"))
		at = min(max(0, at), len(glances))
	}
	if at > 0 {
		query.Del("source")
		card.First = otherPage(x, query, "from", "")
	}
	end := min(at+rowsAtOnce, len(glances))
	if end < len(glances) {
		query.Set("source", card.Status.Source)
		card.Next = otherPage(x, query, "from", strconv.Itoa(end))
	}
	return glances[at:end]
}

// matching returns the glances at tenants whose name or title contains the text to find.
func matching(glances []collect.Glance, tenants map[string]callvault.Tenant, find string) []collect.Glance {
	return slices.DeleteFunc(slices.Clone(glances), func(g collect.Glance) bool {
		t := tenants[g.Tenant]
		return !anyContains(tenantTexts(&t), find)
	})
}

// attention orders tenants: the lower it is, the more a tenant needs attention.
func attention(g *collect.Glance, now time.Time) int {
	switch {
	case g.State == collect.DayIncomplete:
		return 0
	case g.Stale(now):
		return 1
	case g.State == collect.DayUnknown:
		return 2
	}
	return 3
}

// directRow is a tenant whose recordings are taken in directly, with what is kept of the
// last stripDays days.
type directRow struct {
	callvault.Tenant
	Recordings, Held, Bytes int64
}

// directTenants returns the tenants that no source has: what is held of them is known,
// what there should be is not.
func (p *Pages) directTenants(x *exchange, tenants map[string]callvault.Tenant, collected map[string]bool) (part[directRow], error) {
	var all []directRow
	for name, tenant := range tenants {
		if !collected[name] {
			all = append(all, directRow{Tenant: tenant})
		}
	}
	shown := partOf(x, "after", all, func(row *directRow) []string { return tenantTexts(&row.Tenant) })
	span := callvault.Span{From: x.now.AddDate(0, 0, -stripDays).UnixMilli(), To: x.now.UnixMilli()}
	for i := range shown.Rows {
		row := &shown.Rows[i]
		c, err := p.Archive.Count(x.ctx(), row.Name, span)
		if err != nil {
			return shown, err
		}
		row.Recordings, row.Held, row.Bytes = c.Recordings, c.Held, c.Bytes
	}
	return shown, nil
}

// sourceNamed returns the source of that name, if the tenant is collected from it and
// the visitor may reach the tenant.
func (p *Pages) sourceNamed(x *exchange, name, tenant string) (*Source, error) {
	if err := x.seesWhole(); err != nil {
		return nil, err
	}
	nothing := fmt.Errorf("the source %s has no tenant %s that you may reach: %w", name, tenant, callvault.NotFound)
	if !x.visitor.MayReach(tenant) || p.Collector == nil {
		return nil, nothing
	}
	of, err := p.Collector.SourceOf(x.ctx(), tenant)
	if err != nil {
		return nil, err
	}
	for i := range p.Sources {
		if p.Sources[i].Name == name && of == name {
			return &p.Sources[i], nil
		}
	}
	return nil, nothing
}

// sendAs begins an answer that is a file, with the disposition inline or attachment. Only
// this makes a browser save it. The links have no attribute download, with which a browser
// would save a refusal, or the sign-in page, as well.
func (x *exchange) sendAs(kind, disposition, name string) {
	header := x.out.Header()
	header.Set("Content-Type", kind)
	header.Set("Content-Disposition", disposition+"; filename*=UTF-8''"+url.PathEscape(name))
	x.out.WriteHeader(http.StatusOK)
}
