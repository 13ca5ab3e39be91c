package pages

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"callvault"
	"callvault/collect"
	"callvault/meter"
)

var usageRoutes = []route{
	{path: "/usage", name: "usage", who: visitor, get: (*Pages).showUsage},
}

// usageCard is a tenant's usage as the page shows it.
type usageCard struct {
	callvault.Tenant
	Used    int64
	Limit   int64
	Limited bool
	Percent int64
	Chart   usageChart
	Frees   []freeing
	Counts  meter.Counts
}

// freeing is the room within the limit that frees up on one day.
type freeing struct {
	At    int64 // when the first of it frees up, in Unix milliseconds
	Until int64 // when the last of it does
	Bytes int64
	Left  int64 // how many bytes still count after that
}

// usageChart is the bytes of each hour of the last five days, as bars.
type usageChart struct {
	Bars []usageBar
	Most int64 // the most bytes sent in an hour
	Days []chartDay
}

type usageBar struct{ X, Y, Height int }

type chartDay struct {
	X    int
	Name string
}

// sourceUsage is what the collector has fetched from a source.
type sourceUsage struct {
	Source string
	Rows   []collect.Egress
	More   int
}

func (p *Pages) showUsage(x *exchange) error {
	if err := x.seesWhole(); err != nil {
		return err
	}
	cards, more, err := p.usageCards(x)
	if err != nil {
		return err
	}
	var since time.Time
	for i := range cards {
		card := &cards[i]
		hours, err := p.Meter.Hours(x.ctx(), &card.Tenant, x.now)
		if err != nil {
			return err
		}
		card.Counts, since = p.Meter.Counts(x.ctx(), card.Name)
		card.fill(hours, x.now)
	}
	sources, err := p.sourceUsages(x)
	if err != nil {
		return err
	}
	return p.render(x, "usage", view{Title: "Usage", Here: "/usage", Data: map[string]any{
		"Cards": cards, "More": more, "Find": findText(x), "Since": since.UnixMilli(), "Sources": sources,
	}})
}

// cardsAtOnce is how many tenants the page shows, each with a chart of its hours.
const cardsAtOnce = 12

// usageCards returns the tenants that have used the most of their limits, of those that
// the visitor may reach, and how many more there are.
func (p *Pages) usageCards(x *exchange) (cards []usageCard, more int, err error) {
	tenants := slices.DeleteFunc(x.visitor.Tenants(), func(t callvault.Tenant) bool { return !anyContains(tenantTexts(&t), findText(x)) })
	used, err := p.Meter.Used(x.ctx(), tenants, x.now)
	if err != nil {
		return nil, 0, err
	}
	for i := range tenants {
		card := usageCard{Tenant: tenants[i], Used: used[i]}
		card.setPercent()
		cards = append(cards, card)
	}
	slices.SortFunc(cards, func(a, b usageCard) int {
		return cmp.Or(cmp.Compare(b.Percent, a.Percent), cmp.Compare(b.Used, a.Used), cmp.Compare(a.Name, b.Name))
	})
	more = max(0, len(cards)-cardsAtOnce)
	return cards[:len(cards)-more], more, nil
}

// setPercent compares what is used with the limit.
func (c *usageCard) setPercent() {
	c.Limit, c.Limited = c.EgressLimit()
	switch {
	case c.Limited && c.Limit > 0:
		c.Percent = min(100, c.Used*100/c.Limit)
	case c.Limited:
		c.Percent = 100
	}
}

// fill fills in the chart, the sums and when room frees up, from the hours of the last
// five days.
func (c *usageCard) fill(hours []meter.Hour, now time.Time) {
	c.Used = 0 // summed up again, since more may have been sent
	for _, h := range hours {
		c.Used += h.Bytes
	}
	c.setPercent()
	zone := zoneOf(c.TimeZone)
	c.Chart = chartOf(hours, now, zone)
	left := c.Used
	day := ""
	for _, h := range hours {
		left -= h.Bytes
		if on := time.UnixMilli(h.FreesAt()).In(zone).Format(time.DateOnly); on != day {
			day = on
			c.Frees = append(c.Frees, freeing{At: h.FreesAt()})
		}
		last := &c.Frees[len(c.Frees)-1]
		last.Until, last.Bytes, last.Left = h.FreesAt(), last.Bytes+h.Bytes, left
	}
}

// The width of an hour in the chart and the chart's height, in the units of its viewBox,
// and how many hours it shows.
const (
	barWidth    = 4
	chartHeight = 56
	chartHours  = 121
)

// chartOf draws the hours until now, the present one on the right.
func chartOf(hours []meter.Hour, now time.Time, zone *time.Location) usageChart {
	var c usageChart
	for _, h := range hours {
		c.Most = max(c.Most, h.Bytes)
	}
	begin := now.Truncate(time.Hour).Add(-(chartHours - 1) * time.Hour)
	for _, h := range hours {
		at := int(time.UnixMilli(h.Start()).Sub(begin) / time.Hour)
		height := max(2, int(h.Bytes*chartHeight/max(1, c.Most)))
		if at >= 0 && at < chartHours && h.Bytes > 0 {
			c.Bars = append(c.Bars, usageBar{X: at * barWidth, Y: chartHeight - height, Height: height})
		}
	}
	for i := range chartHours {
		if at := begin.Add(time.Duration(i) * time.Hour).In(zone); at.Hour() == 0 && i < chartHours-8 { // there is room for its name
			c.Days = append(c.Days, chartDay{X: i * barWidth, Name: at.Format("Mon 2")})
		}
	}
	return c
}

// sourceUsages returns how much the collector has fetched of the tenants that the visitor
// may reach, the most first.
func (p *Pages) sourceUsages(x *exchange) ([]sourceUsage, error) {
	var all []sourceUsage
	for i := range p.Sources {
		source := p.Sources[i].Source
		rows, err := p.Collector.Egress(x.ctx(), source, x.now)
		if err != nil {
			return nil, fmt.Errorf("usage of source %s: %w", source.Name, err)
		}
		rows = slices.DeleteFunc(rows, func(e collect.Egress) bool { return !x.visitor.MayReach(e.Tenant) })
		slices.SortStableFunc(rows, func(a, b collect.Egress) int { return cmp.Compare(b.Used, a.Used) })
		if len(rows) > 0 {
			more := max(0, len(rows)-rowsAtOnce)
			all = append(all, sourceUsage{source.Name, rows[:len(rows)-more], more})
		}
	}
	return all, nil
}

// MostText returns the most bytes sent in an hour, for the chart's description.
func (c usageChart) MostText() string { return byteText(c.Most) }
