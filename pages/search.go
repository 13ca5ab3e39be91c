package pages

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/collect"
)

// search is what a visitor looks for, as the address says it.
type search struct {
	Tenant, When, From, Until, Party, Agent, Skill, Direction, Tag, Min, Max string
	// Fault says what is wrong with the search; "" if nothing is.
	Fault string
	// Tenants are the tenants that the visitor may choose from.
	Tenants []callvault.Tenant
	Zone    string // the time zone in which days are counted
	Zones   bool   // results may come from several time zones, so each time names its zone
	// More reports whether any of the fields that are folded away is in use.
	More bool

	values url.Values // the address's parameters, without empty ones
	grant  *callvault.Grant
	span   callvault.Span
	least  time.Duration
	most   time.Duration
}

// searchFields are the parameters of a search.
var searchFields = []string{"tenant", "when", "from", "until", "party", "agent", "skill", "direction", "tag", "min", "max", "after"}

// readSearch reads a search from the address.
func (p *Pages) readSearch(x *exchange) *search {
	given := x.r.URL.Query()
	s := &search{values: url.Values{}, grant: &x.visitor.Grant, Tenants: x.visitor.Tenants()}
	for _, name := range searchFields {
		if value := strings.TrimSpace(strings.ToValidUTF8(given.Get(name), "\uFFFD")); value != "" {
			s.values.Set(name, value)
		}
	}
	for name, field := range map[string]*string{
		"tenant": &s.Tenant, "when": &s.When, "from": &s.From, "until": &s.Until, "party": &s.Party, "agent": &s.Agent,
		"skill": &s.Skill, "direction": &s.Direction, "tag": &s.Tag, "min": &s.Min, "max": &s.Max,
	} {
		*field = s.values.Get(name)
	}
	s.More = s.Agent+s.Skill+s.Direction+s.Tag+s.Min+s.Max != ""
	s.readZone()
	s.readSpan(x.now)
	s.least = s.readLength(s.Min)
	s.most = s.readLength(s.Max)
	if s.most > 0 && s.least > s.most {
		s.fault("The minimum length is greater than the maximum.")
	}
	return s
}

func (s *search) fault(text string) {
	if s.Fault == "" {
		s.Fault = text
	}
}

// readZone finds the time zone in which days are counted: the chosen tenant's, else the
// one that all tenants share, else UTC.
func (s *search) readZone() {
	s.Zone = "UTC"
	if s.Tenant != "" {
		chosen, ok := s.tenant(s.Tenant)
		if !ok {
			s.fault(fmt.Sprintf("There is no tenant %q that you may reach.", shorten(s.Tenant, 80)))
		}
		s.Zone = zoneOf(chosen.TimeZone).String()
		return
	}
	zones := map[string]bool{}
	for i := range s.Tenants {
		zones[zoneOf(s.Tenants[i].TimeZone).String()] = true
	}
	for zone := range zones {
		if len(zones) == 1 {
			s.Zone = zone
		}
	}
	s.Zones = len(zones) > 1
}

// Many reports whether there are too many tenants to choose one with a click.
func (s *search) Many() bool { return len(s.Tenants) > fewTenants }

// tenant returns the visitor's tenant of that name, if there is one.
func (s *search) tenant(name string) (t callvault.Tenant, ok bool) {
	at, ok := slices.BinarySearchFunc(s.Tenants, name, func(t callvault.Tenant, name string) int { return cmp.Compare(t.Name, name) })
	if ok {
		t = s.Tenants[at]
	}
	return t, ok
}

// readSpan reads the time in which the recordings began.
func (s *search) readSpan(now time.Time) {
	zone := zoneOf(s.Zone)
	ago := func(days int) callvault.Span { // noon exists on every day in every zone
		now := now.In(zone)
		return collect.DayOf(time.Date(now.Year(), now.Month(), now.Day()-days, 12, 0, 0, 0, zone))
	}
	switch s.When {
	case "today":
		s.span = ago(0)
	case "yesterday":
		s.span = ago(1)
	case "7d":
		s.span = callvault.Span{From: ago(6).From, To: ago(0).To}
	case "", "range":
		s.readRange(zone)
	default:
		s.fault("“When” must be today, yesterday, 7d or range.")
	}
}

// readRange reads the first and the last day of a range; either may be missing.
func (s *search) readRange(zone *time.Location) {
	if s.From+s.Until == "" {
		return
	}
	s.When = "range"
	if s.From != "" {
		s.span.From = s.readDay(s.From, zone).From
	}
	if s.Until != "" {
		s.span.To = s.readDay(s.Until, zone).To
		if s.span.To <= s.span.From {
			s.fault("The last day comes before the first.")
		}
	}
}

// readDay returns the span of a day such as 2026-03-31.
func (s *search) readDay(text string, zone *time.Location) callvault.Span {
	day, err := collect.ParseDay(text, zone)
	if err != nil {
		s.fault(fmt.Sprintf("%.40q is not a day; write one such as 2026-03-31.", text))
	}
	return callvault.Span{From: min(max(day.From, 0), callvault.MaxTime), To: min(max(day.To, 0), callvault.MaxTime)}
}

// readLength reads a length as parseLength does.
func (s *search) readLength(text string) time.Duration {
	length, err := parseLength(text)
	if err != nil {
		s.fault(fmt.Sprintf("%.40q is not a length; write 1:30 for a minute and a half or 5 for five minutes.", text))
	}
	return length
}

var errLength = errors.New("not a length")

// parseLength reads a length as people write it: 1:30, 1:02:03, or 5 for minutes.
// An empty text is 0.
func parseLength(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	parts := strings.Split(text, ":")
	if len(parts) > 3 {
		return 0, errLength
	}
	if len(parts) == 1 {
		parts = append(parts, "0")
	}
	seconds := 0
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil || len(part) > 4 || (i > 0 && n > 59) {
			return 0, errLength
		}
		seconds = seconds*60 + int(n)
	}
	return time.Duration(seconds) * time.Second, nil
}

// query returns the search in the archive's form.
func (s *search) query() *archive.Query {
	q := &archive.Query{
		Grant: s.grant, Span: s.span, Party: s.Party, Agent: s.Agent, Skill: s.Skill, Tag: s.Tag,
		Direction: s.Direction, MinLength: s.least, MaxLength: s.most, After: s.values.Get("after"),
		Limit: listPage,
	}
	if s.Tenant != "" {
		q.Tenants = []string{s.Tenant}
	}
	return q
}

// link returns the address of the page of the same search that begins after the given
// place; "" is the first page.
func (s *search) link(after string) string {
	values := url.Values{}
	for name, given := range s.values {
		values[name] = slices.Clone(given)
	}
	values.Del("after")
	if after != "" {
		values.Set("after", after)
	}
	if len(values) == 0 {
		return "/recordings"
	}
	return "/recordings?" + values.Encode()
}

// Empty reports whether the search asks for nothing in particular.
func (s *search) Empty() bool { return len(s.values) == 0 }

// recordingPath returns the path of a recording's page.
func recordingPath(r *callvault.Recording) string {
	return "/recordings/" + pathName(r.TenantName) + "/" + pathName(r.RecordingKey)
}
