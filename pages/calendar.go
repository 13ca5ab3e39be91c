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
	Earlier string // the addresses of other months; "" for none
	Later   string
	First   string // the day on which collecting begins, if it is in this month and not its first
	Detail  *dayDetail
	Proof   string // the address of the month's certificate
}

// cell is a cell of the calendar.
type cell struct {
	Number int // the day of the month; 0 if the cell belongs to another month
	Date   string
	Day    *collect.Day // nil if nothing is known of the day
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
	Shown    []collect.LackingRecording // the first missing recordings
	More     int                        // how many further ones are missing
	Settled  []collect.LackingRecording
	Listen   string // the address of the day's recordings
	Proof    string // the address of its certificate
	Settable string // the key of a recording that an operator could settle; "" for none
}

// maxMissingShown is how many missing recordings the page of a day lists at most, so that
// it stays small when the whole day is missing.
const maxMissingShown = 200

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

// fillCalendar fills in the month and the day that the address asks for.
func (p *Pages) fillCalendar(x *exchange, c *calendar) error {
	scope := &collect.Scope{Source: c.Source.Source, Tenant: c.Tenant.Name, Zone: c.Zone}
	chosen, err := c.readMonth(x)
	if err != nil {
		return err
	}
	first, err := p.Collector.CalendarStart(x.ctx(), scope)
	if err != nil {
		return err
	}
	c.setLinks(first, x.now)
	days, err := p.Collector.Calendar(x.ctx(), scope, monthSpan(c.Month), x.now)
	if err != nil {
		return err
	}
	c.layOut(days, chosen, x.now)
	query := &collect.GlanceQuery{Source: c.Source.Source, Include: func(name string) bool { return name == c.Tenant.Name }}
	glances, err := p.Collector.Glances(x.ctx(), query, x.now)
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

// readMonth reads the month and the chosen day from the address. A day determines its
// month; with neither, the month is the present one.
func (c *calendar) readMonth(x *exchange) (chosen string, err error) {
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
	// Noon exists on every day in every zone.
	c.Month = time.Date(c.Month.Year(), c.Month.Month(), 1, 12, 0, 0, 0, c.Zone)
	today := x.now.In(c.Zone)
	if present := time.Date(today.Year(), today.Month(), 1, 12, 0, 0, 0, c.Zone); c.Month.After(present) {
		c.Month = present
	}
	return chosen, nil
}

// setLinks sets the addresses of the neighbouring months, but of none before collecting
// began nor in the future, and of the month's certificate. first is when collecting
// began, in Unix milliseconds, or 0.
func (c *calendar) setLinks(first int64, now time.Time) {
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

// monthSpan returns the span from noon of a month's first day to noon of its last.
func monthSpan(month time.Time) callvault.Span {
	return callvault.Span{From: month.UnixMilli(), To: month.AddDate(0, 1, -1).UnixMilli()}
}

// layOut lays days out in weeks that begin on Monday.
func (c *calendar) layOut(days []collect.Day, chosen string, now time.Time) {
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

// dayDetail returns what is known of one day.
func (p *Pages) dayDetail(x *exchange, scope *collect.Scope, date string) (*dayDetail, error) {
	day, err := time.ParseInLocation(time.DateOnly, date, scope.Zone)
	if err != nil {
		return nil, fmt.Errorf("%q is not a day: %w", shorten(date, 40), callvault.InvalidParameter)
	}
	known, err := p.Collector.Day(x.ctx(), scope, day.Add(12*time.Hour), x.now)
	if err != nil {
		return nil, err
	}
	d := &dayDetail{DayDetail: known, look: lookOf(known.State), Date: date, Shown: known.Missing, Settled: known.Settled}
	d.Shown = d.Shown[:min(len(d.Shown), maxMissingShown)]
	d.More = len(known.Missing) - len(d.Shown)
	d.Settled = d.Settled[:min(len(d.Settled), maxMissingShown)]
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
