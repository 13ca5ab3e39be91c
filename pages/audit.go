package pages

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"callvault"
	"callvault/account"
	"callvault/collect"
)

var auditRoutes = []route{
	{path: "/audit", name: "audit", who: admin, get: (*Pages).showAudit},
	{path: "/audit/verify", name: "verify audit", who: admin, post: (*Pages).verifyAudit},
	{path: "/audit/export", name: "export audit", who: admin, get: (*Pages).exportAudit, file: true},
}

// verified is the result of the last verification of the audit trail's hash chain.
type verified struct {
	mu     sync.Mutex
	At     int64 // Unix milliseconds; 0 before the first verification
	Count  int64
	Hash   string
	Broken string // where the chain is broken; "" if it is intact
}

// auditView is what the page of the audit trail shows.
type auditView struct {
	Query          url.Values
	Events         []account.Event
	First, Next    string // addresses
	Searching      bool
	At, Count      int64 // of the last verification of the chain
	Hash, Broken   string
	Zone           string
	Tenants        []callvault.Tenant
	Who, Recording string
	Tenant         string
	Since, Until   string
	Fault          string
}

func (p *Pages) showAudit(x *exchange) error {
	query := x.r.URL.Query()
	v := &auditView{Query: query, Tenants: clickable(x.visitor.Tenants())}
	wanted, err := v.read(x)
	status := http.StatusOK
	if err != nil {
		v.Fault, status, x.err = sentence(err), http.StatusBadRequest, err
	} else if v.Events, err = p.Accounts.Events(x.ctx(), wanted); err != nil {
		return err
	}
	v.paginate()
	p.verified.mu.Lock()
	v.At, v.Count, v.Hash, v.Broken = p.verified.At, p.verified.Count, p.verified.Hash, p.verified.Broken
	p.verified.mu.Unlock()
	return p.renderStatus(x, status, "audit", view{Title: "Audit trail", Here: "/audit", Data: v})
}

// read makes a query of the address's parameters. If a tenant is chosen, days are those
// of its time zone; otherwise they are UTC days.
func (v *auditView) read(x *exchange) (*account.AuditQuery, error) {
	text := func(name string) string { return strings.TrimSpace(v.Query.Get(name)) }
	v.Who, v.Tenant, v.Recording, v.Since, v.Until = text("who"), text("tenant"), text("recording"), text("since"), text("until")
	v.Searching = v.Who+v.Tenant+v.Recording+v.Since+v.Until != ""
	if tenant, err := x.visitor.Tenant(v.Tenant); err == nil {
		v.Zone = tenant.TimeZone
	}
	wanted := &account.AuditQuery{Who: v.Who, Tenant: v.Tenant, Recording: v.Recording, Limit: listPage + 1}
	since, err := v.day(v.Since)
	if err != nil {
		return nil, err
	}
	until, err := v.day(v.Until)
	if err != nil {
		return nil, err
	}
	wanted.Span = callvault.Span{From: since.From, To: until.To}
	if before := v.Query.Get("before"); before != "" {
		if wanted.Before, err = strconv.ParseInt(before, 10, 64); err != nil || wanted.Before < 1 {
			return nil, fmt.Errorf("the address names an impossible place in the list; start again from the first page: %w", callvault.InvalidParameter)
		}
	}
	return wanted, nil
}

// day returns the span of a day such as 2024-02-12; "" gives an empty span.
func (v *auditView) day(text string) (callvault.Span, error) {
	if text == "" {
		return callvault.Span{}, nil
	}
	day, err := collect.ParseDay(text, zoneOf(v.Zone))
	if err != nil {
		return day, fmt.Errorf("%.40q is not a day such as 2024-02-12: %w", text, callvault.InvalidParameter)
	}
	return day, nil
}

// paginate cuts off the events of the next page and sets the addresses of other pages.
func (v *auditView) paginate() {
	address := func(before int64) string {
		query := url.Values{}
		for name, values := range v.Query {
			if name != "before" && values[0] != "" {
				query[name] = values
			}
		}
		if before > 0 {
			query.Set("before", strconv.FormatInt(before, 10))
		}
		return "/audit?" + query.Encode()
	}
	if v.Query.Get("before") != "" {
		v.First = address(0)
	}
	if len(v.Events) > listPage {
		v.Events = v.Events[:listPage]
		v.Next = address(v.Events[listPage-1].Seq)
	}
}

// verifyAudit reads the whole trail and recomputes its chain.
func (p *Pages) verifyAudit(x *exchange) error {
	count, last, err := p.Accounts.VerifyAudit(x.ctx())
	var broken account.Broken
	if err != nil && !errors.As(err, &broken) {
		return err
	}
	p.verified.mu.Lock()
	defer p.verified.mu.Unlock()
	p.verified.At, p.verified.Count, p.verified.Hash, p.verified.Broken = x.now.UnixMilli(), count, last.String(), ""
	if err != nil {
		p.verified.Broken = sentence(err)
	}
	return x.redirect("/audit")
}

// exportAudit sends the whole trail as JSON, one entry per line, the oldest first.
func (p *Pages) exportAudit(x *exchange) error {
	if x.r.Method == http.MethodGet {
		if err := p.Accounts.Record(x.ctx(), account.Event{Action: account.ActionExport, Detail: "audit trail"}); err != nil {
			return err
		}
	}
	header := x.out.Header()
	header.Set("Content-Type", "application/x-ndjson")
	header.Set("Content-Disposition", `attachment; filename="audit-`+x.now.UTC().Format(time.DateOnly)+`.jsonl"`)
	if x.r.Method == http.MethodHead {
		x.out.WriteHeader(http.StatusOK)
		return nil
	}
	out := bufio.NewWriterSize(x.out, 32<<10)
	lines := json.NewEncoder(out)
	for event, err := range p.Accounts.AllEvents(x.ctx()) {
		if err != nil {
			return err
		}
		if err := lines.Encode(event); err != nil {
			panic(http.ErrAbortHandler) // the client has gone
		}
	}
	_ = out.Flush() // an error means that the client has gone
	return nil
}
