package client

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"callvault"
)

func TestListForms(t *testing.T) {
	r := recordings(3)
	array := "[" + strings.Join(r, ",") + "]"
	for name, test := range map[string]struct {
		contentType, body string
	}{
		"array":               {"application/json", array},
		"array, spaced":       {"application/json;charset=UTF-8", " \n[ " + strings.Join(r, " ,\n ") + "\t]\r\n "},
		"array, no type":      {"", array},
		"byte order mark":     {"application/json", "\ufeff" + array},
		"wrapped":             {"application/json", `{"recordings":` + array + `,"total":3}`},
		"wrapped, list last":  {"application/json", `{"total": 3, "ok":true, "note":null, "what":"[\"a\"]", "recordings" : ` + array + ` }`},
		"wrapped, object too": {"application/json", `{"page":{"size":20,"sort":["a"]},"recordings":` + array + `}`},
		"seed":                {"application/json", strings.Join(r, ",\n") + ",\n"},
		"seed, no comma last": {"application/json", strings.Join(r, ",")},
		"seed, key not first": {"application/json", `{"status":"SAVED","startTime":1,"tenantName":"t","recordingKey":"r0"},` + r[1] + "," + r[2]},
		"seed, no brace":      {"application/json", " " + strings.Join(r, ",\n")[1:]},
		"lines":               {"application/x-ndjson", strings.Join(r, "\n") + "\n"},
		"lines, no type":      {"application/json", strings.Join(r, "\n")},
	} {
		t.Run(name, func(t *testing.T) {
			all := collect(t, serveText(t, test.contentType, test.body))
			if all.err != nil || len(all.malformed) > 0 {
				t.Fatal(all.err, all.malformed)
			}
			if got := strings.Join(all.keys, " "); got != "r0 r1 r2" {
				t.Errorf("got %s", got)
			}
		})
	}
}

func TestEmptyLists(t *testing.T) {
	for _, test := range []struct{ contentType, body string }{
		{"application/json", "[]"}, {"application/json", " [ ] "}, {"application/json", `{"recordings":[],"total":0}`},
		{"application/x-ndjson", ""}, {"application/x-ndjson", "\n"},
	} {
		if all := collect(t, serveText(t, test.contentType, test.body)); all.err != nil || len(all.keys)+len(all.malformed) > 0 {
			t.Errorf("%q: %v", test.body, all)
		}
	}
}

// TestNoList: a body that is not a whole list ends in an error that says whether it is none
// or not whole.
func TestNoList(t *testing.T) {
	r := recordings(2)
	for name, test := range map[string]struct {
		body  string
		fault Fault
		says  string
	}{
		"empty":              {"", BadAnswer, "empty"},
		"spaces":             {" \n", BadAnswer, "empty"},
		"page":               {"<!DOCTYPE html><html><body>Sign in</body></html>", BadAnswer, "DOCTYPE"},
		"text":               {"oops", BadAnswer, "oops"},
		"number":             {"5", BadAnswer, "5"},
		"string":             {`"oops"`, BadAnswer, "a string"},
		"seed's call, cut":   {`"callId": "853be5cc", "shortId": 3`, Cut, "ends before"},
		"no array":           {`{"code":"internal","message":"it\nbroke"}`, BadAnswer, "it broke"},
		"empty object":       {`{}`, BadAnswer, "no array"},
		"two arrays":         {`{"recordings":[` + r[0] + `],"others":[]}`, BadAnswer, "others"},
		"item, array first":  {`{"accountCodes":[],"callKey":"c"}`, BadAnswer, "not a list"},
		"cut between":        {"[" + r[0] + ",", Cut, "ends before"},
		"cut in an item":     {"[" + r[0] + `,{"recordingKey":"r1","call`, Cut, "ends before"},
		"cut behind an item": {"[" + r[0], Cut, "after 1 items"},
		"cut at once":        {"[", Cut, "ends before"},
		"cut in a wrapper":   {`{"recordings":[` + r[0] + "]", Cut, "ends before"},
		"cut in a field":     {`{"reco`, Cut, "ends before"},
		"cut lines":          {r[0] + "\n" + r[1][:40], Cut, "ends before"},
		"garbage behind":     {"[" + r[0] + "]<hr>", Cut, "end of the body"},
		"error behind":       {"[" + r[0] + `]{"status":500}`, Cut, "end of the body"},
		"second list":        {"[" + r[0] + "][]", Cut, "end of the body"},
		"behind a wrapper":   {`{"recordings":[` + r[0] + "]}x", Cut, "end of the body"},
		"error in the midst": {"[" + r[0] + "," + "Internal Server Error", Cut, "JSON value"},
		"no comma":           {"[" + r[0] + r[1] + "]", Cut, "comma"},
		"comma last":         {"[" + r[0] + ",]", Cut, "JSON value"},
		"comma first":        {"[," + r[0] + "]", Cut, "JSON value"},
		"bad field":          {`{"total":12x,"recordings":[]}`, Cut, "total"},
		"no colon":           {`{"recordings"[]}`, Cut, "colon"},
		"no name":            {`{5:[]}`, Cut, "name"},
		"paged by number":    {`{"recordings":[` + r[0] + `],"total":2}`, Cut, "part"},
		"paged by word":      {`{"hasMore":true,"recordings":[` + r[0] + `]}`, Cut, "hasMore"},
	} {
		t.Run(name, func(t *testing.T) {
			all := collect(t, serveText(t, "application/json", test.body))
			if !errors.Is(all.err, test.fault) {
				t.Fatalf("got %v, want it to be %v", all.err, test.fault)
			}
			if !strings.Contains(all.err.Error(), test.says) || strings.Contains(all.err.Error(), "\n") {
				t.Errorf("the error says %q; want %q in it", all.err, test.says)
			}
		})
	}
}

// TestBrokenTransfer: a body that breaks off is not a list, even if what came of it would be
// one.
func TestBrokenTransfer(t *testing.T) {
	whole := "[" + strings.Join(recordings(2), ",") + "]"
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	lines := "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
	chunk := func(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }
	for name, test := range map[string]struct {
		answer string
		fault  Fault
	}{
		"chunks without end":   {head + "Transfer-Encoding: chunked\r\n\r\n" + chunk(whole), Cut},
		"chunk cut":            {head + "Transfer-Encoding: chunked\r\n\r\n" + chunk(whole)[:80], Cut},
		"shorter than it says": {head + "Content-Length: 9999\r\n\r\n" + whole, Cut},
		"closed in the midst":  {head + "Connection: close\r\n\r\n" + whole[:150], Cut},
		"lines to the close":   {lines + "Connection: close\r\n\r\n" + recordings(1)[0] + "\n", BadAnswer},
		"lines cut":            {lines + "Transfer-Encoding: chunked\r\n\r\n" + chunk(recordings(1)[0]+"\n"), Cut},
	} {
		t.Run(name, func(t *testing.T) {
			c := serveRaw(t, func(conn net.Conn, r *http.Request) { io.WriteString(conn, test.answer) })
			all := collect(t, c)
			if !errors.Is(all.err, test.fault) {
				t.Errorf("got %v, want it to be %v", all.err, test.fault)
			}
		})
	}
	t.Run("reset", func(t *testing.T) {
		c := serveRaw(t, func(conn net.Conn, r *http.Request) {
			io.WriteString(conn, head+"Transfer-Encoding: chunked\r\n\r\n"+chunk(whole[:100]))
			conn.(*net.TCPConn).SetLinger(0)
		})
		if all := collect(t, c); !errors.Is(all.err, Cut) && !errors.Is(all.err, Reset) {
			t.Errorf("got %v", all.err)
		}
	})
	t.Run("to the close, closed by itself", func(t *testing.T) {
		c := serveRaw(t, func(conn net.Conn, r *http.Request) { io.WriteString(conn, head+"Connection: close\r\n\r\n"+whole) })
		if all := collect(t, c); all.err != nil || len(all.keys) != 2 {
			t.Errorf("got %v", all)
		}
	})
	t.Run("gzip cut", func(t *testing.T) {
		c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			io.WriteString(packed, whole)
			packed.Flush() // and no end
		})
		if all := collect(t, c); !errors.Is(all.err, Cut) {
			t.Errorf("got %v", all.err)
		}
	})
}

func TestListRequest(t *testing.T) {
	var got *http.Request
	c, server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("Content-Encoding", "gzip")
		packed := gzip.NewWriter(w)
		io.WriteString(packed, "["+good+"]")
		packed.Close()
	})
	all := collect(t, c)
	if all.err != nil || len(all.keys) != 1 {
		t.Fatal(all)
	}
	want := "/rest/api/v2/recordings?startTime=2024-02-12T00%3A00%3A00.000Z&endTime=2024-02-13T00%3A00%3A00.000Z"
	if got.RequestURI != want {
		t.Errorf("asked for %s, want %s", got.RequestURI, want)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer " + testKey, "Accept": "application/json", "Accept-Encoding": "gzip",
		"User-Agent": "callvault", "Content-Length": "", "Transfer-Encoding": "",
	} {
		if got := got.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	c = newClient(t, server.URL+"/behind/a%2Fproxy/", WithUserAgent("tester/1"))
	for range c.Calls(t.Context(), callvault.Span{From: 1, To: 1001}, "acme & co", "b#1") {
	}
	want = "/behind/a%2Fproxy/rest/api/v2/call-recording-info?startTime=1970-01-01T00%3A00%3A00.001Z" +
		"&endTime=1970-01-01T00%3A00%3A01.001Z&tenantName=acme+%26+co&tenantName=b%231"
	if got.RequestURI != want {
		t.Errorf("asked for %s, want %s", got.RequestURI, want)
	}
	if !reflect.DeepEqual(got.URL.Query()["tenantName"], []string{"acme & co", "b#1"}) || got.UserAgent() != "tester/1" {
		t.Error(got.URL.Query(), got.UserAgent())
	}
}

func TestListArguments(t *testing.T) {
	c := newClient(t, "http://127.0.0.1:1")
	for _, seq := range []func() error{
		func() error { return onlyError(c.Recordings(t.Context(), callvault.Span{From: 2, To: 1})) },
		func() error {
			return onlyError(c.Calls(t.Context(), callvault.Span{From: 2, To: callvault.MaxTime + 1}))
		},
		func() error { return onlyError(c.Recordings(t.Context(), anyDay, "a/b")) },
	} {
		err := seq()
		if _, refused := RefusalOf(err); !errors.Is(err, callvault.InvalidParameter) || refused {
			t.Errorf("got %v", err)
		}
	}
}

func onlyError[T any](seq func(func(T, error) bool)) (err error) {
	seq(func(_ T, e error) bool { err = e; return true })
	return err
}

// TestStopEarly: a consumer that stops early gets no error and leaves nothing behind; the list
// can be requested again.
func TestStopEarly(t *testing.T) {
	requests := 0
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		io.WriteString(w, "["+strings.Join(recordings(1000), ",")+"]")
	})
	seq := c.Recordings(t.Context(), anyDay)
	for range 2 {
		for item, err := range seq {
			if err != nil || item.RecordingKey != "r0" {
				t.Fatal(item, err)
			}
			break
		}
	}
	if requests != 2 {
		t.Errorf("%d requests, want 2", requests)
	}
}

func TestCancel(t *testing.T) {
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "["+recordings(1)[0])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	enough := errors.New("the boss said so")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var last error
	for _, err := range c.Recordings(ctx, anyDay) {
		cancel(enough)
		last = err
	}
	if !errors.Is(last, enough) || !errors.Is(last, context.Canceled) || errors.Is(last, TimedOut) || errors.Is(last, Cut) {
		t.Errorf("got %v", last)
	}
}

// TestMillion: memory use does not grow with the list.
func TestMillion(t *testing.T) {
	rows := 1_000_000
	if raceEnabled || testing.Short() {
		rows = 200_000
	}
	c, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		block := []byte(strings.Repeat(","+good, 1000))
		io.WriteString(w, `{"recordings":[`)
		w.Write(block[1:])
		for range rows/1000 - 1 {
			w.Write(block)
		}
		fmt.Fprintf(w, `],"total":%d}`, rows)
	})
	var most uint64
	n := 0
	for item, err := range c.Recordings(t.Context(), anyDay) {
		if err != nil {
			t.Fatal(err)
		}
		if item.Size != 9111 {
			t.Fatal(item)
		}
		if n++; n%(rows/10) == 0 {
			runtime.GC()
			var stats runtime.MemStats
			runtime.ReadMemStats(&stats)
			most = max(most, stats.HeapAlloc)
		}
	}
	if n != rows {
		t.Errorf("%d rows of %d", n, rows)
	}
	if most > 12<<20 {
		t.Errorf("%d bytes of heap in use", most)
	}
}

func TestQueryEscapesPlus(t *testing.T) {
	r, err := query{span: anyDay, tenants: []string{"a+b"}}.request(newClient(t, "http://x"))
	if err != nil {
		t.Fatal(err)
	}
	values, err := url.ParseQuery(r.url.RawQuery)
	if err != nil || values.Get("tenantName") != "a+b" {
		t.Error(values, err)
	}
}
