package pages

import (
	"fmt"
	"net/url"
	"time"

	"callvault"
	"callvault/collect"
)

// calendar is a month of a tenant as its page shows it.
type calendar struct {
	Source  *Source
	Tenant  callvault.Tenant
	Zone    *time.Location
	Glance  collect.Glance
	Stale   bool
	Month   time.Time
	Weeks   [][7]cell
	Tallies []tally
	Earlier string // addresses of other months; "" for none
	Later   string
	First   string // the day on which collecting begins, in the month's own zone
	Detail  *dayDetail
	Proof   string // the address of the month's certificate
}

// cell is a place in the calendar: of another month, a day that nothing is to be
// told of, or a day.
type cell struct {
	Number int // of the day in the month; 0 for another month's
	Date   string
	Day    *collect.Day
	look
	Link   string
	Today  bool
	Chosen bool
}

// dayDetail is one day of a tenant as the page shows it.
type dayDetail struct {
	*collect.DayDetail
	look
	Date     string
	Shown    []collect.LackingRecording // of what is missing
	More     int                        // beyond those
	Settled  []collect.LackingRecording
	Listen   string // the address of the day's recordings
	Proof    string // of its certificate
	Settable string // a recording that an operator could settle, "" for none
}

// namedAtOnce is how many missing recordings a day names, so that the page stays
// small on a day of which nothing came.
const namedAtOnce = 200

func (p *Pages) showCalendar(x *exchange) error {
	tenant := x.pathValue("tenant")
	source, err := p.sourceNamed(x, x.pathValue("source"), tenant)
	if err != nil {
		return err
	}
	x.tenant = tenant
	c := &calendar{Source: source}
	known, err := x.visitor.Tenant(tenant)
	if err != nil {
		return err
	}
	c.Tenant = *known
	c.Zone = zoneOf(c.Tenant.TimeZone)
	if err := p.fillCalendar(x, c); err != nil {
		return err
	}
	return p.render(x, "calendar", view{Title: "Calendar of " + c.Tenant.Name, Here: "/completeness", Data: c})
}

// fillCalendar puts in what the month and the day that are asked for tell.
func (p *Pages) fillCalendar(x *exchange, c *calendar) error {
	scope := &collect.Scope{Source: c.Source.Source, Tenant: c.Tenant.Name, Zone: c.Zone}
	chosen, err := c.asked(x)
	if err != nil {
		return err
	}
	first, err := p.Collector.CalendarStart(x.ctx(), scope)
	if err != nil {
		return err
	}
	c.limit(first, x.now)
	days, err := p.Collector.Calendar(x.ctx(), scope, monthSpan(c.Month), x.now)
	if err != nil {
		return err
	}
	c.lay(days, chosen, x.now)
	look := &collect.GlanceQuery{Source: c.Source.Source, Include: func(name string) bool { return name == c.Tenant.Name }}
	glances, err := p.Collector.Glances(x.ctx(), look, x.now)
	if err != nil {
		return err
	}
	if len(glances) > 0 {
		c.Glance, c.Stale = glances[0], glances[0].Stale(x.now) && !c.Source.former()
	}
	if chosen == "" {
		return nil
	}
	c.Detail, err = p.dayDetail(x, scope, chosen)
	return err
}

// asked reads the month and the day of the address: by itself a day has its month,
// and neither is this month.
func (c *calendar) asked(x *exchange) (chosen string, err error) {
	query := x.r.URL.Query()
	month := query.Get("month")
	if chosen = query.Get("day"); chosen != "" {
		if _, err := time.Parse(time.DateOnly, chosen); err != nil {
			return "", fmt.Errorf("%q is not a day such as 2024-02-12: %w", shorten(chosen, 40), callvault.InvalidParameter)
		}
		month = chosen[:len("2024-02")]
	}
	if month == "" {
		month = x.now.In(c.Zone).Format("2006-01")
	}
	if c.Month, err = time.Parse("2006-01", month); err != nil {
		return "", fmt.Errorf("%q is not a month such as 2024-02: %w", shorten(month, 40), callvault.InvalidParameter)
	}
	// Noon is there on every day of every zone.
	c.Month = time.Date(c.Month.Year(), c.Month.Month(), 1, 12, 0, 0, 0, c.Zone)
	if c.Month.After(x.now.AddDate(0, 0, 1)) {
		c.Month = time.Date(x.now.In(c.Zone).Year(), x.now.In(c.Zone).Month(), 1, 12, 0, 0, 0, c.Zone)
	}
	return chosen, nil
}

// limit sets the ways to other months: none before collecting begins, none to come.
func (c *calendar) limit(first int64, now time.Time) {
	path := c.path()
	if begins := time.UnixMilli(first).In(c.Zone); first > 0 {
		if begins.Before(time.Date(c.Month.Year(), c.Month.Month(), 1, 0, 0, 0, 0, c.Zone)) {
			c.Earlier = path + "?month=" + c.Month.AddDate(0, -1, 0).Format("2006-01")
		}
		if begins.Format("2006-01") == c.Month.Format("2006-01") && begins.Day() > 1 {
			c.First = begins.Format(time.DateOnly)
		}
	}
	if c.Month.Format("2006-01") < now.In(c.Zone).Format("2006-01") {
		c.Later = path + "?month=" + c.Month.AddDate(0, 1, 0).Format("2006-01")
	}
	last := c.Month.AddDate(0, 1, -1)
	if last.After(now) {
		last = now.In(c.Zone)
	}
	c.Proof = certificatePath(c.Tenant.Name, c.Month.Format(time.DateOnly), last.Format(time.DateOnly))
}

func (c *calendar) path() string {
	return "/completeness/" + pathName(c.Source.Name) + "/" + pathName(c.Tenant.Name)
}

// monthSpan is from noon of a month's first day to noon of its last.
func monthSpan(month time.Time) callvault.Span {
	return callvault.Span{From: month.UnixMilli(), To: month.AddDate(0, 1, -1).UnixMilli()}
}

// lay lays days out in weeks that begin on Monday.
func (c *calendar) lay(days []collect.Day, chosen string, now time.Time) {
	known := map[string]*collect.Day{}
	for i := range days {
		known[days[i].Day] = &days[i]
	}
	today := now.In(c.Zone).Format(time.DateOnly)
	at := (int(c.Month.Weekday()) + 6) % 7
	c.Weeks = append(c.Weeks, [7]cell{})
	for day := c.Month; day.Month() == c.Month.Month(); day = day.AddDate(0, 0, 1) {
		if at == 7 {
			c.Weeks, at = append(c.Weeks, [7]cell{}), 0
		}
		one := cell{Number: day.Day(), Date: day.Format(time.DateOnly)}
		one.Today, one.Chosen = one.Date == today, one.Date == chosen
		if one.Day = known[one.Date]; one.Day != nil {
			one.look = lookOf(one.Day.State)
			one.Link = c.path() + "?day=" + one.Date + "#day"
		}
		c.Weeks[len(c.Weeks)-1][at] = one
		at++
	}
	c.Tallies = tallies(days)
}

// dayDetail tells of one day.
func (p *Pages) dayDetail(x *exchange, scope *collect.Scope, date string) (*dayDetail, error) {
	day, err := time.ParseInLocation(time.DateOnly, date, scope.Zone)
	if err != nil {
		return nil, fmt.Errorf("%q is not a day: %w", shorten(date, 40), callvault.InvalidParameter)
	}
	told, err := p.Collector.Day(x.ctx(), scope, day.Add(12*time.Hour), x.now)
	if err != nil {
		return nil, err
	}
	d := &dayDetail{DayDetail: told, look: lookOf(told.State), Date: date, Shown: told.Missing, Settled: told.Settled}
	if d.More = len(told.Missing) - namedAtOnce; d.More > 0 {
		d.Shown = told.Missing[:namedAtOnce]
	}
	d.More = max(0, d.More)
	d.Settled = d.Settled[:min(len(d.Settled), namedAtOnce)]
	for _, m := range d.Shown {
		if m.RecordingKey != "" && d.Settable == "" {
			d.Settable = m.RecordingKey
		}
	}
	d.Listen = "/recordings?" + url.Values{"tenant": {scope.Tenant}, "when": {"range"}, "from": {date}, "until": {date}}.Encode()
	d.Proof = certificatePath(scope.Tenant, date, date)
	return d, nil
}

func certificatePath(tenant, from, until string) string {
	return "/certificate/" + pathName(tenant) + "?" + url.Values{"from": {from}, "until": {until}}.Encode()
}

// weekdays are a calendar's columns.
var weekdays = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
