package pages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"callvault"
	"callvault/account"
	"callvault/archive"
)

var recordingRoutes = []route{
	{path: "/recordings", name: "recordings", who: visitor, get: (*Pages).showRecordings},
	{path: "/recordings/suggest", name: "suggest", who: visitor, get: (*Pages).suggest},
	{path: "/recordings/{tenant}/{key}", name: "recording", who: visitor, get: (*Pages).showRecording},
	{path: "/recordings/{tenant}/{key}/audio", name: "play", who: visitor, get: (*Pages).playAudio},
	{path: "/recordings/{tenant}/{key}/download", name: "download", who: visitor, get: (*Pages).downloadAudio, file: true},
	{path: "/recordings/{tenant}/{key}/peaks", name: "peaks", who: visitor, get: (*Pages).sendPeaks},
	{path: "/recordings/{tenant}/{key}/remarks", name: "remarks", who: visitor, get: (*Pages).backToRecording, post: (*Pages).addRemark},
}

// searchView is what the search page shows.
type searchView struct {
	*search
	Rows []recordingRow
	// First and Next are the addresses of other pages of the results; "" for none.
	First, Next string
	// SearchedTo is how far back was searched, in Unix milliseconds, if the search
	// stopped before the end; else 0.
	SearchedTo int64
}

// recordingRow is one result.
type recordingRow struct {
	*callvault.Recording
	Path     string
	Zone     string
	Standing standing
}

// mayListen returns an error if the visitor may not look for recordings at all.
func mayListen(x *exchange) error {
	if x.visitor.May(callvault.Listen) {
		return nil
	}
	return fmt.Errorf("recordings are for those who may listen, and %s may not; an administrator can change that: %w",
		x.visitor.Name, callvault.Forbidden)
}

// showRecordings answers a search: with the whole page, or with the results alone for
// the script that searches as the visitor types.
func (p *Pages) showRecordings(x *exchange) error {
	if err := mayListen(x); err != nil {
		return err
	}
	s := p.readSearch(x)
	data, status := searchView{search: s}, http.StatusOK
	if s.Fault != "" {
		status = http.StatusBadRequest
	} else {
		found, err := p.Archive.Search(x.ctx(), s.query())
		if err != nil {
			return err
		}
		data.fill(found)
		p.note(x, account.Event{Action: account.ActionSearch, Tenant: s.Tenant, Detail: shorten(s.values.Encode(), 500)})
	}
	v := view{Title: "Recordings", Here: "/recordings", Data: data}
	if x.r.URL.Query().Get("part") == "results" {
		return p.renderPart(x, status, "results", v)
	}
	return p.renderStatus(x, status, "recordings", v)
}

func (v *searchView) fill(found *archive.Found) {
	for _, e := range found.Entries {
		v.Rows = append(v.Rows, recordingRow{
			Recording: &e.Recording, Path: recordingPath(&e.Recording),
			Zone: v.zoneOf(e), Standing: standingOf(e),
		})
	}
	if v.values.Has("after") {
		v.First = v.link("")
	}
	if found.Next != "" {
		v.Next, v.SearchedTo = v.link(found.Next), found.SearchedTo
	}
}

// zoneOf returns the name of the time zone of a result's tenant.
func (v *searchView) zoneOf(e *archive.Entry) string {
	t, _ := v.tenant(e.Recording.TenantName)
	return zoneOf(t.TimeZone).String()
}

// renderPart answers with a part of the page of recordings: the named template.
func (p *Pages) renderPart(x *exchange, status int, name string, v view) error {
	var part bytes.Buffer
	v.Visitor = x.visitor
	if err := p.templates["recordings"].ExecuteTemplate(&part, name, v); err != nil {
		return fmt.Errorf("part %s: %w", name, err)
	}
	x.out.Header().Set("Content-Type", "text/html; charset=utf-8")
	x.out.Header().Set("Content-Length", strconv.Itoa(part.Len()))
	x.out.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.out.Write(part.Bytes()) // an error means that the client has gone
	}
	return nil
}

// maxSuggestions is how many suggestions a field gets at most.
const maxSuggestions = 12

// suggestion is a value for a field, and another name for it.
type suggestion struct {
	Value string `json:"value"`
	Label string `json:"label,omitempty"`
}

// suggest answers a script with suggestions for a field.
func (p *Pages) suggest(x *exchange) error {
	if err := mayListen(x); err != nil {
		return err
	}
	query := x.r.URL.Query()
	if query.Get("field") == "tenant" {
		return x.sendSuggestions(suggestTenants(x, query.Get("prefix")))
	}
	grant := x.visitor.Grant
	if tenant := query.Get("tenant"); tenant != "" && grant.MayReach(tenant) {
		grant = grant.Narrow([]string{tenant})
	}
	values, err := p.Archive.Suggest(x.ctx(), &grant, query.Get("field"), query.Get("prefix"), maxSuggestions)
	if err != nil {
		return err
	}
	found := []suggestion{}
	for _, value := range values {
		found = append(found, suggestion{Value: value})
	}
	return x.sendSuggestions(found)
}

func (x *exchange) sendSuggestions(found []suggestion) error {
	x.out.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(x.out).Encode(found) // an error means that the client has gone
	return nil
}

// suggestTenants returns tenants whose name or title contains what was typed.
func suggestTenants(x *exchange, typed string) []suggestion {
	found := []suggestion{}
	for _, t := range x.visitor.Tenants() {
		if len(found) < maxSuggestions && anyContains(tenantTexts(&t), typed) {
			found = append(found, suggestion{t.Name, t.Title})
		}
	}
	return found
}

// note records in the audit trail what the visitor did. The entry waits in memory and
// is written within a second; if that fails, the log says so.
func (p *Pages) note(x *exchange, e account.Event) {
	if err := p.Accounts.Note(x.ctx(), e); err != nil {
		p.Log.Error("audit trail", "error", err)
	}
}

// standing says in words whether a recording's audio is here. Kind is the kind of its
// badge: ok, warn, bad or "".
type standing struct{ Kind, Text, Why string }

// standingOf returns the standing of a recording.
func standingOf(e *archive.Entry) standing {
	status := e.Recording.Status
	switch {
	case status == callvault.Pending:
		return standing{"", "Not held yet", "This recording is known, but its audio has not come in: it is still to be fetched, or what came was refused and set aside. Completeness says which."}
	case status == callvault.DeletedUser:
		return standing{"", "Deleted", "Somebody deleted this recording at its source before it could be kept here."}
	case status == callvault.DeletedSpace, status == callvault.DeletedTime:
		return standing{"", "Deleted", "Its source deleted this recording, to make room or because of its age, before it could be kept here."}
	case status.Deleted():
		return standing{"", "Deleted", "This recording was deleted at its source before it could be kept here."}
	case !status.HasAudio():
		return standing{"", shorten(string(status), 40), "Its source gives it the status " + shorten(string(status), 40) + ", which is not known here. There is no audio to hear."}
	case !e.Held:
		return standing{"bad", "Missing", "Its audio should be here, but is not."}
	case status != callvault.Saved:
		return standing{"warn", "Deleted soon", "This recording is held, and marked to be deleted."}
	}
	return standing{"ok", "Held", ""}
}
