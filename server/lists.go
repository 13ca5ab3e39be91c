package server

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"callvault"
	"callvault/account"
	"callvault/archive"
)

// query is the parameters of a list.
type query struct {
	span    callvault.Span
	tenants []string // tenantName=, without duplicates
}

// parseQuery parses a list's parameters. It ignores unknown ones.
func parseQuery(r *http.Request) (q query, err error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return q, fmt.Errorf("the query string is not valid: %w: %w", err, callvault.InvalidParameter)
	}
	if q.span.From, err = timeParameter(values, "startTime"); err != nil {
		return q, err
	}
	if q.span.To, err = timeParameter(values, "endTime"); err != nil {
		return q, err
	}
	if q.span.From > q.span.To {
		return q, fmt.Errorf("startTime is after endTime: %w", callvault.InvalidParameter)
	}
	for _, name := range values["tenantName"] {
		if err := callvault.CheckKey("tenantName", name); err != nil {
			return q, err
		}
		if !slices.Contains(q.tenants, name) {
			q.tenants = append(q.tenants, name)
		}
	}
	return q, nil
}

func timeParameter(values url.Values, name string) (int64, error) {
	given := values[name]
	switch len(given) {
	case 0:
		return 0, fmt.Errorf("the parameter %s is missing; send ISO 8601 with an offset, such as 2022-09-10T23:59:59.000-06:00: %w", name, callvault.InvalidParameter)
	case 1:
	default:
		return 0, fmt.Errorf("the parameter %s is given %d times; send it once: %w", name, len(given), callvault.InvalidParameter)
	}
	ms, err := callvault.ParseTime(given[0])
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return ms, nil
}

// recordings answers GET recordings (API guide, "Requesting Recording Data").
func (s *Server) recordings(w *response, r *http.Request) error {
	q, grant, err := s.admitList(w, r)
	if err != nil {
		return err
	}
	err = sendList(w, r, s.Archive.Recordings(r.Context(), q.span, grant))
	s.noteList(w, r, account.ActionListRecordings, &q)
	return err
}

// calls answers GET call-recording-info (API guide, "Expanded Metrics Available").
func (s *Server) calls(w *response, r *http.Request) error {
	q, grant, err := s.admitList(w, r)
	if err != nil {
		return err
	}
	err = sendList(w, r, s.Archive.Calls(r.Context(), q.span, grant))
	s.noteList(w, r, account.ActionListCalls, &q)
	return err
}

// admitList checks a request for a list, in the API's order: authentication,
// parameters, permission, request limit.
func (s *Server) admitList(w *response, r *http.Request) (q query, grant *callvault.Grant, err error) {
	user, err := s.authenticate(w, r)
	if err != nil {
		return q, nil, err
	}
	if q, err = parseQuery(r); err != nil {
		return q, nil, err
	}
	if err := may(user, callvault.Read); err != nil {
		return q, nil, err
	}
	var tenant *callvault.Tenant
	for _, name := range q.tenants {
		if tenant, err = reach(user, name); err != nil {
			return q, nil, err
		}
	}
	if len(q.tenants) == 0 {
		return q, &user.Grant, s.admitUser(w, r, user)
	}
	narrowed := user.Narrow(q.tenants)
	if len(q.tenants) == 1 {
		w.tenant = tenant.Name
		return q, &narrowed, s.admitTenant(w, r, tenant)
	}
	return q, &narrowed, s.admitUser(w, r, user)
}

// listForm is the text around a list, and the byte between its rows.
type listForm struct {
	contentType, open, end string
	between                byte
}

var (
	arrayForm = listForm{"application/json", "[", "]", ','}
	linesForm = listForm{"application/x-ndjson", "", "\n", '\n'}
)

// sendList streams a list. An error before the first row is an ordinary response;
// after it the connection is aborted, so that the list does not look complete.
func sendList(w *response, r *http.Request, list archive.List) error {
	form := arrayForm
	if prefersLines(r.Header.Values("Accept")) && r.ProtoAtLeast(1, 1) { // over HTTP/1.0 interrupted lines would look complete
		form = linesForm
	}
	coding := chooseCoding(r.Header.Values("Accept-Encoding"))
	header := w.Header()
	header.Set("Content-Type", form.contentType)
	header.Set("Cache-Control", "no-store")
	header.Set("Vary", "Accept, Accept-Encoding")
	if coding != "" {
		header.Set("Content-Encoding", coding)
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	encoder := newCoder(w, coding)
	if err := form.write(encoder, list, w.Control.Flush); err != nil {
		encoder.abandon()
		return err
	}
	return encoder.close()
}

// early is how many bytes of a list are sent before the buffer fills, so that the
// client need not wait for the first rows.
const early = 4 << 10

// write writes a list, and nothing before its first page has been read. flush sends what
// was written so far; it is called once, early.
func (form *listForm) write(to io.Writer, list archive.List, flush func() error) error {
	buffer := newBuffer(to)
	begun, flushed := false, false
	for page, err := range list {
		if err != nil {
			return err
		}
		if begun {
			buffer.WriteByte(form.between)
		} else {
			buffer.WriteString(form.open)
			begun = true
		}
		form.separate(page)
		for piece := range slices.Chunk(page, bufferSize) { // each moves the deadline of a slow reader
			if _, err := buffer.Write(piece); err != nil {
				return err
			}
		}
		if !flushed && buffer.Buffered() >= early {
			flushed = true
			if err := errors.Join(buffer.Flush(), flush()); err != nil {
				return err
			}
		}
	}
	switch {
	case begun:
		buffer.WriteString(form.end)
	case form.open != "":
		buffer.WriteString(form.open + form.end)
	}
	return buffer.Flush()
}

// separate puts what stands between rows in this form between the rows of a page.
func (form *listForm) separate(page []byte) {
	if form.between == '\n' {
		return
	}
	for {
		end := bytes.IndexByte(page, '\n')
		if end < 0 {
			return
		}
		page[end] = form.between
		page = page[end+1:]
	}
}

// prefersLines reports whether an Accept header names JSON lines and does not prefer
// an array (RFC 9110 12.5.1).
func prefersLines(headers []string) bool {
	weights := map[string]float64{}
	for word, weight := range weighted(headers) {
		weights[strings.ToLower(word)] = weight
	}
	array := 0.0
	for _, word := range []string{"*/*", "application/*", arrayForm.contentType} { // the most specific counts
		if weight, named := weights[word]; named {
			array = weight
		}
	}
	lines := weights[linesForm.contentType]
	return lines > 0 && lines >= array
}
