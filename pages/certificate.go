package pages

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"callvault"
	"callvault/account"
	"callvault/archive"
	"callvault/collect"
)

// proof is what a certificate says about a tenant and a period of whole days in the
// tenant's time zone.
type proof struct {
	*archive.Certificate
	FromDay  string         `json:"fromDay"`  // the first day
	UntilDay string         `json:"untilDay"` // the last one
	TimeZone string         `json:"timeZone"`
	Source   string         `json:"source"` // "" if no source says what there should be
	Whole    bool           `json:"whole"`  // nothing is missing, and nothing more can arrive
	SoFar    bool           `json:"soFar"`  // nothing is missing, but late recordings may arrive
	Verdict  string         `json:"verdict"`
	Days     map[string]int `json:"days"`     // how many days are in each state
	NotWhole []proofDay     `json:"notWhole"` // the days that are not complete
	IssuedAt int64          `json:"issuedAt"` // Unix milliseconds
	IssuedBy string         `json:"issuedBy"`
	Version  string         `json:"version"`
}

// proofDay is a day that is not complete.
type proofDay struct {
	Day     string `json:"day"`
	State   string `json:"state"`
	Listed  int    `json:"listed"`
	Held    int    `json:"held"`
	Lacking int    `json:"lacking"`
}

// The states that days of a certificate can have besides those of a calendar.
const (
	dayBefore = "before collecting began"
	dayToCome = "still to come"
)

// longestProof is the longest period of a certificate, in days.
const longestProof = 40 * 366

// period is the tenant and the days that a certificate is asked for.
type period struct {
	tenant      callvault.Tenant
	zone        *time.Location
	first, last time.Time // noon of the first and of the last day
	span        callvault.Span
}

// periodOf reads the tenant and the days from the address.
func (p *Pages) periodOf(x *exchange) (*period, error) {
	if err := x.seesWhole(); err != nil {
		return nil, err
	}
	name := x.pathValue("tenant")
	tenant, err := x.visitor.Tenant(name)
	if err != nil {
		return nil, fmt.Errorf("there is no tenant %q that you may reach: %w", shorten(name, 60), callvault.NotFound)
	}
	x.tenant = name
	q := &period{tenant: *tenant, zone: zoneOf(tenant.TimeZone)}
	today := x.now.In(q.zone)
	for field, to := range map[string]*time.Time{"from": &q.first, "until": &q.last} {
		text := x.r.URL.Query().Get(field)
		if text == "" { // from the first of this month until today
			text = today.Format(time.DateOnly)
			if field == "from" {
				text = text[:len("2024-02-")] + "01"
			}
		}
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a day such as 2024-02-12: %w", field, shorten(text, 40), callvault.InvalidParameter)
		}
		*to = time.Date(day.Year(), day.Month(), day.Day(), 12, 0, 0, 0, q.zone)
	}
	if q.last.Before(q.first) {
		return nil, fmt.Errorf("the period ends before it begins: %w", callvault.InvalidParameter)
	}
	if q.last.Sub(q.first) > longestProof*24*time.Hour {
		return nil, fmt.Errorf("the period is longer than %d years: %w", longestProof/366, callvault.InvalidParameter)
	}
	q.span = callvault.Span{From: collect.DayOf(q.first).From, To: collect.DayOf(q.last).To}
	return q, nil
}

// certify makes the certificate and records that in the audit trail.
func (p *Pages) certify(x *exchange) (*proof, *period, error) {
	q, err := p.periodOf(x)
	if err != nil {
		return nil, nil, err
	}
	c := &proof{FromDay: q.first.Format(time.DateOnly), UntilDay: q.last.Format(time.DateOnly), TimeZone: q.zone.String(),
		IssuedAt: x.now.UnixMilli(), IssuedBy: x.visitor.Name, Version: p.Version, Days: map[string]int{}, NotWhole: []proofDay{}}
	if c.Certificate, err = p.Archive.Certify(x.ctx(), q.tenant.Name, q.span); err != nil {
		return nil, nil, err
	}
	if err := p.assess(x, q, c); err != nil {
		return nil, nil, err
	}
	err = p.Accounts.Record(x.ctx(), account.Event{Action: account.ActionCertify, Tenant: q.tenant.Name,
		Detail: fmt.Sprintf("%s to %s: %d recordings held, %s", c.FromDay, c.UntilDay, c.Held, c.SHA256)})
	return c, q, err
}

// assess fills in how complete the period is. It is whole only if each of its days is
// complete.
func (p *Pages) assess(x *exchange, q *period, c *proof) error {
	source, err := p.collectedFrom(x, q.tenant.Name)
	if err != nil {
		return err
	}
	if source == nil {
		c.Verdict = "No source says what there should be: this certifies what is held, not that nothing is missing."
		return nil
	}
	c.Source = source.Name
	scope := &collect.Scope{Source: source.Source, Tenant: q.tenant.Name, Zone: q.zone}
	days, err := p.Collector.Calendar(x.ctx(), scope, q.span, x.now)
	if err != nil {
		return err
	}
	known := map[string]collect.Day{}
	for _, d := range days {
		known[d.Day] = d
	}
	today := x.now.In(q.zone).Format(time.DateOnly)
	for at := q.first; !at.After(q.last); at = at.AddDate(0, 0, 1) {
		date := at.Format(time.DateOnly)
		d, ok := known[date]
		switch {
		case !ok && date > today:
			d = collect.Day{Day: date, State: dayToCome}
		case !ok:
			d = collect.Day{Day: date, State: dayBefore}
		}
		c.Days[d.State]++
		if d.State != collect.DayComplete {
			c.NotWhole = append(c.NotWhole, proofDay{d.Day, d.State, d.Listed, d.Held, d.Lacking})
		}
	}
	c.conclude()
	return nil
}

// conclude sets the verdict from the states of the days.
func (c *proof) conclude() {
	total := 0
	var not []string
	for _, state := range append([]string{dayBefore, dayToCome}, states...) {
		n := c.Days[state]
		total += n
		if n > 0 && state != collect.DayComplete {
			not = append(not, fmt.Sprintf("%d %s", n, state))
		}
	}
	open := c.Days[collect.DaySoFar]
	c.Whole = c.Days[collect.DayComplete] == total
	c.SoFar = !c.Whole && c.Days[collect.DayComplete]+open == total
	days := countDays(total)
	switch {
	case c.Whole:
		c.Verdict = "Complete: for " + days + ", everything the source offered is held."
	case c.SoFar:
		c.Verdict = "Nothing is missing so far: for " + days + ", everything the source has offered is held. For " +
			countDays(open) + ", late recordings may still arrive."
	default:
		c.Verdict = "Not complete: of " + days + ", " + strings.Join(not, ", ") + "."
	}
}

func countDays(n int) string {
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}

// collectedFrom returns the source that a tenant is collected from, or nil if there is
// none.
func (p *Pages) collectedFrom(x *exchange, tenant string) (*Source, error) {
	if p.Collector == nil {
		return nil, nil
	}
	name, err := p.Collector.SourceOf(x.ctx(), tenant)
	if errors.Is(err, callvault.NotFound) {
		return nil, nil
	}
	for i := range p.Sources {
		if p.Sources[i].Name == name {
			return &p.Sources[i], err
		}
	}
	return nil, err
}

// maxDaysShown is how many incomplete days the page of a certificate lists at most.
const maxDaysShown = 62

func (p *Pages) showCertificate(x *exchange) error {
	c, q, err := p.certify(x)
	if err != nil {
		return err
	}
	query := "?" + url.Values{"from": {c.FromDay}, "until": {c.UntilDay}}.Encode()
	path := "/certificate/" + pathName(q.tenant.Name)
	return p.render(x, "certificate", view{Title: "Certificate of " + q.tenant.Name, Here: "/completeness", Data: map[string]any{
		"Proof": c, "Tenant": q.tenant, "Named": c.NotWhole[:min(len(c.NotWhole), maxDaysShown)], "More": max(0, len(c.NotWhole)-maxDaysShown),
		"JSON": path + "/certificate.json" + query, "Hashes": path + "/hashes.txt" + query,
		"Folder": archive.FileName(q.tenant.Name), "ListName": hashesName(q), "States": append([]string{dayBefore, dayToCome}, states...),
	}})
}

func (p *Pages) sendCertificate(x *exchange) error {
	c, _, err := p.certify(x)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	x.sendAs("application/json", "inline", "certificate.json")
	_, _ = x.out.Write(append(text, '\n'))
	return nil
}

func hashesName(q *period) string {
	return fmt.Sprintf("%s_%s_%s.txt", archive.FileName(q.tenant.Name), q.first.Format(time.DateOnly), q.last.Format(time.DateOnly))
}

// sendHashes sends the sorted list of hashes whose hash is on the certificate.
func (p *Pages) sendHashes(x *exchange) error {
	q, err := p.periodOf(x)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(x.out, 64<<10)
	began := false
	for hash, err := range p.Archive.Hashes(x.ctx(), q.tenant.Name, q.span) {
		if err != nil {
			return err // once bytes have been sent, fail breaks the connection
		}
		if !began {
			began = true
			x.sendAs("text/plain; charset=utf-8", "attachment", hashesName(q))
		}
		if _, err := out.WriteString(hash + "\n"); err != nil {
			return nil // the client has gone
		}
	}
	if !began {
		x.sendAs("text/plain; charset=utf-8", "attachment", hashesName(q))
	}
	_ = out.Flush()
	return nil
}

// recompute returns a shell command that computes a certificate's hash from the tenant's
// audio files. The first startTime in each sidecar is when its recording starts.
func recompute(folder string, from, to int64) string {
	return fmt.Sprintf(`find %[1]s -name '*.opus' | while read -r f; do
  t=$(sed -n 's/.*"startTime": *\([0-9]*\).*/\1/p' "${f%%.opus}.json" | head -n 1)
  [ "$t" -ge %[2]d ] && [ "$t" -lt %[3]d ] && sha256sum < "$f"
done | cut -c 1-64 | LC_ALL=C sort | sha256sum`, shellWord("audio/"+folder), from, to)
}

// shellWord quotes a word for the shell.
func shellWord(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
