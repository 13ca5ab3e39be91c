package server_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"callvault"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

// TestTimeParameters sends times through real URLs; the recordings at 12:00:00,
// 12:00:00.500 and 12:00:01 UTC show how they were parsed.
func TestTimeParameters(t *testing.T) {
	w := newWorld(t)
	const noon = 1707739200000
	for i, ms := range []int64{0, 500, 1000} {
		r := recording(fmt.Sprint(i), 0)
		r.StartTime = noon + ms
		w.keep(r)
	}
	const end = "&endTime=2024-02-13T00:00:00Z"
	for _, c := range []struct{ query, want string }{
		{"startTime=2024-02-12T12:00:00Z" + end, "0 1 2"},
		{"startTime=2024-02-12T12:00:00.001Z" + end, "1 2"},
		{"startTime=2024-02-12T12:00:00,5Z" + end, "1 2"},
		{"startTime=2024-02-12T12:00:00.500999Z" + end, "1 2"},
		{"startTime=2024-02-12t12:00:00.501z" + end, "2"},
		{"startTime=20240212T120001Z" + end, "2"},
		{"startTime=20240212T1200Z" + end, "0 1 2"},
		{"startTime=2024-02-12T12:01Z" + end, ""},
		{"startTime=2024-02-12T14:00:01+02:00" + end, "2"},
		{"startTime=2024-02-12T14:00:01%2B02:00" + end, "2"},
		{"startTime=2024-02-12T14:00:01%2B0200" + end, "2"},
		{"startTime=2024-02-12T14:00:01%2b02" + end, "2"},
		{"startTime=2024-02-12T14:00:01%2002:00" + end, "2"},
		{"startTime=2024-02-12T06:00:01-06:00" + end, "2"},
		{"startTime=2024-02-12T06:00:01-0600" + end, "2"},
		{"startTime=2024-02-12T06:00:01-06" + end, "2"},
		{"startTime=2024-02-12T12:00:01-00:00" + end, "2"},
		{"startTime=2024-02-12T06:00:01.000-06:00%20" + end, "2"},
		{"startTime=2024-02-12T06:00:01.000-06:00+" + end, "2"},
		{"startTime=%0920240212T120001Z%0A" + end, "2"},
		{"startTime=2024-02-12T12:00:00.500Z&endTime=2024-02-12T12:00:01Z", "1"},
		{"startTime=2024-02-12T12:00:00Z&endTime=2024-02-12T12:00:00Z", ""},
		{"endTime=2024-02-12T12:00:01Z&unknown=1&startTime=2024-02-12T12:00:00Z", "0 1"},
		{"startTime=0001-01-01T00:00:00Z&endTime=9999-12-31T23:59:59Z", "0 1 2"},
	} {
		if got := keysOf(t, w.get(api+"recordings?"+c.query)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.query, got, c.want)
		}
	}
	const from = "startTime=2024-02-12T12:00:00Z"
	for _, query := range []string{
		"", from, end[1:], from + "&endTime=", "startTime" + end, from + "&" + from + end, from + end + end,
		from + "&endtime=2024-02-13T00:00:00Z", "startTime=2024-02-12" + end, "startTime=2024-02-12T12:00:00" + end,
		"startTime=2024-02-12T24:00:00Z" + end, "startTime=2024-02-12T12:00:60Z" + end, "startTime=2024-02-12T12:60Z" + end,
		"startTime=2024-02-30T12:00:00Z" + end, "startTime=2024-13-01T12:00:00Z" + end, "startTime=1707739200000" + end,
		"startTime=2024-02-12+12:00:00Z" + end, "startTime=2024-02-12T12:00:00.Z" + end, "startTime=2024-02-12T12:00:00%2B24:00" + end,
		"startTime=2024-02-12T12:00:00%2B2" + end, "startTime=yesterday" + end, "startTime=%FF" + end, "startTime=%00" + end, "startTime=%zz" + end,
		"startTime=2024-02-12T12:00:00Z;endTime=2024-02-13T00:00:00Z", "startTime=2024-02-14T00:00:00Z" + end,
		from + end + "&tenantName=", from + end + "&tenantName=a%2Fb", from + end + "&tenantName=%00",
		"startTime=" + strings.Repeat("9", 5000) + end,
	} {
		for _, path := range []string{"recordings", "call-recording-info"} {
			wantError(t, query, w.get(api+path+"?"+query), 400, "invalid_parameter")
		}
	}
	text := wantError(t, "no offset", w.get(api+"recordings?startTime=2024-02-12T12:00:00"+end), 400, "invalid_parameter")
	if !strings.Contains(text, "offset") || !strings.Contains(text, "startTime") {
		t.Errorf("the message does not tell of the offset: %q", text)
	}
}

// TestGuideRowsComeBack uploads the API guide's samples. Both lists return them field
// for field, except for size, which is the true one.
func TestGuideRowsComeBack(t *testing.T) {
	w := newWorld(t)
	const first = `{"recordingKey":"91a1e1e8-08p8-427b-bd04-da43c2a1db7d-1707770449131","callKey":"1dd0gg18-9c63-41de-a386-4f21ba0086f2-1707770438499-1707770497510","startTime":1707770449131,"duration":3606,"size":%d,"eventId":99181,"recordingSystemId":0,"status":"SAVED","callingParty":"18885553794","receivingParty":"Spencer Porter(253)","tenantName":"acme-ns","tagData":"Default","callDirection":"INBOUND","skill":"CC Sales","agent":"Spencer Porter(253)"}`
	const second = `{"recordingKey":"a4bc65b6-24gh-41a7-a07b-0bcee2da6551-1707770466508","callKey":"5dcf3a89-3c3b-47f2-a674-7884c2ee1054-1707770438499-1707770497510","startTime":1707770466508,"duration":12806,"size":%d,"eventId":99184,"recordingSystemId":0,"status":"SAVED","callingParty":"18885551347","receivingParty":"Kelly Jaques(256)","tenantName":"acme-ns","tagData":"","callDirection":"INBOUND","skill":"","agent":"Kelly Jaques(256)"}`
	const third = `{"recordingKey":"fe417b58-34da-426c-8ffd-feca5fd772f4-1712110321584","callKey":"853be5cc-f498-4f33-a552-a0b38e6841fc-1712110317069-1712110924851","startTime":1712110321584,"duration":603006,"size":%d,"eventId":101370,"recordingSystemId":0,"status":"SAVED","callingParty":"13855554334","receivingParty":"Kelly Jaques(256)","tenantName":"acme-ns","tagData":"","callDirection":"INBOUND","skill":"","agent":"Kelly Jaques(256)"}`
	const call = `{"callId":"853be5cc-f498-5D47-a552-a0b38e6841fc","shortId":31875,"callKey":"853be5cc-f498-4f33-a552-a0b38e6841fc-1712110317069-1712110924851","startTime":1712110317069,"endTime":1712110924851,"direction":"INBOUND","recordings":[%s],"tenantName":"acme-ns","callerId":"WIRELESS CALLER","dialedPartyNumber":"7035559310","accountCodes":[],"totalHoldDuration":0,"location":"Reno, NV","dropEventType":"DROP"}`
	samples := [...]string{first, second, third}
	for i, row := range samples {
		parts := []part{{"recording", fmt.Appendf(nil, row, 9111)}, {"audio", clips()[i]}}
		if i == 2 {
			parts = append(parts, part{"call", fmt.Appendf(nil, call, fmt.Sprintf(row, 341663))})
		}
		samples[i] = fmt.Sprintf(row, len(clips()[i]))
		if got := w.post("acme-ns", "robot", parts...); got.StatusCode != 201 || string(got.body) != samples[i] {
			t.Errorf("upload %d: %d\n%s", i, got.StatusCode, cmp.Diff(samples[i], string(got.body)))
		}
	}
	list := w.get(api + "recordings?" + decade)
	if diff := cmp.Diff("["+strings.Join(samples[:], ",")+"]", string(list.body)); diff != "" {
		t.Errorf("list of recordings:\n%s", diff)
	}
	var infos []json.RawMessage
	got := w.get(api + "call-recording-info?" + decade)
	if err := json.Unmarshal(got.body, &infos); err != nil || len(infos) != 3 {
		t.Fatalf("%d calls, %v: %s", len(infos), err, got.body)
	}
	if diff := cmp.Diff(fmt.Sprintf(call, samples[2]), string(infos[2])); diff != "" {
		t.Errorf("call:\n%s", diff)
	}
	for i, row := range samples {
		r := rows(t, reply{list.Response, []byte("[" + row + "]")})[0]
		audio := w.get(audioPath("acme-ns", r.RecordingKey))
		if audio.StatusCode != 200 || !bytes.Equal(audio.body, clips()[i]) || audio.ContentLength != r.Size {
			t.Errorf("audio %d: %d, %d bytes, size %d", i, audio.StatusCode, len(audio.body), r.Size)
		}
	}
}

// unpack has what undoes each content coding.
var unpack = map[string]func(io.Reader) (io.Reader, error){
	"":     func(r io.Reader) (io.Reader, error) { return r, nil },
	"gzip": func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
	"zstd": func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
}

func TestListForms(t *testing.T) {
	w := newWorld(t)
	var want bytes.Buffer
	for i := range 3 {
		r := recording(fmt.Sprint(i), int64(i))
		r.Status = callvault.Pending
		entry := w.keep(r)
		want.Write(entry.Recording.AppendJSON(nil))
		want.WriteByte(',')
	}
	array := "[" + strings.TrimSuffix(want.String(), ",") + "]"
	lines := strings.ReplaceAll(want.String(), "},", "}\n")
	for _, c := range []struct{ accept, encoding, wantType, wantCoding string }{
		{"", "", "application/json", ""},
		{"*/*", "identity", "application/json", ""},
		{"application/json", "gzip", "application/json", "gzip"},
		{"application/x-ndjson", "br, zstd", "application/x-ndjson", "zstd"},
		{"text/html, application/X-NDJSON;q=0.5", "gzip, zstd", "application/x-ndjson", "zstd"},
		{"application/x-ndjson;q=0", "gzip;q=1.0, zstd;q=0.5", "application/json", "gzip"},
		{"application/json, application/x-ndjson;q=0.5", "gzip;q=0, zstd;q=0", "application/json", ""},
		{"", "deflate, br", "application/json", ""},
		{"", "*", "application/json", "gzip"},
		{"", "gzip;q=0, *", "application/json", ""},
		{"", "identity, gzip;q=0.5, zstd;q=0.9", "application/json", ""},
		{"", "identity;q=0.5, gzip;q=0.5", "application/json", "gzip"},
		{"", "identity;q=0.5, gzip;q=0.4, zstd;q=0.6", "application/json", "zstd"},
		{"application/x-ndjson;q=0.1, */*", "", "application/json", ""},
		{"application/x-ndjson;q=0.5, application/*;q=0.9", "", "application/json", ""},
		{"application/x-ndjson;q=0.5, application/json;q=0.1, */*", "", "application/x-ndjson", ""},
		{"application/x-ndjson, */*;q=0.1", "", "application/x-ndjson", ""},
	} {
		what := c.accept + " | " + c.encoding
		got := w.get(list, "Accept", c.accept, "Accept-Encoding", c.encoding)
		if got.Header.Get("Content-Type") != c.wantType || got.Header.Get("Content-Encoding") != c.wantCoding {
			t.Errorf("%s: %s, %q", what, got.Header.Get("Content-Type"), got.Header.Get("Content-Encoding"))
			continue
		}
		if !strings.Contains(got.Header.Get("Vary"), "Accept-Encoding") {
			t.Errorf("%s: Vary %q", what, got.Header.Get("Vary"))
		}
		plain, err := unpack[c.wantCoding](bytes.NewReader(got.body))
		must(t, err)
		text, err := io.ReadAll(plain)
		must(t, err)
		wantText := array
		if c.wantType == "application/x-ndjson" {
			wantText = lines
		}
		if diff := cmp.Diff(wantText, string(text)); diff != "" {
			t.Errorf("%s:\n%s", what, diff)
		}
		head := w.do(http.MethodHead, list, "Accept", c.accept, "Accept-Encoding", c.encoding)
		if head.StatusCode != 200 || len(head.body) != 0 || head.Header.Get("Content-Type") != c.wantType {
			t.Errorf("HEAD %s: %d %s", what, head.StatusCode, head.Header.Get("Content-Type"))
		}
	}
	old := w.request(http.MethodGet, list, "Accept", "application/x-ndjson")
	old.ProtoMajor, old.ProtoMinor = 1, 0
	recorder := httptest.NewRecorder()
	w.server.ServeHTTP(recorder, old)
	if diff := cmp.Diff(array, recorder.Body.String()); diff != "" {
		t.Errorf("lines for HTTP/1.0, which cannot tell that they broke off:\n%s", diff)
	}
	const nothing = "recordings?startTime=2001-01-01T00:00:00Z&endTime=2001-01-02T00:00:00Z"
	if got := w.get(api + nothing); string(got.body) != "[]" {
		t.Errorf("an empty array is %q", got.body)
	}
	if got := w.get(api+nothing, "Accept", "application/x-ndjson"); len(got.body) != 0 || got.StatusCode != 200 {
		t.Errorf("no lines are %q", got.body)
	}
	if got := w.get(api + "call-recording-info?startTime=2001-01-01T00:00:00Z&endTime=2001-01-02T00:00:00Z"); string(got.body) != "[]" {
		t.Errorf("no calls are %q", got.body)
	}
}

// TestListsShowWhatIsGranted lists as users of different grants.
func TestListsShowWhatIsGranted(t *testing.T) {
	w := newWorld(t)
	w.tenant(callvault.Tenant{Name: "gamma"})
	for i, r := range []struct {
		tenant, agent, skill string
		status               callvault.Status
	}{
		{"gamma", "A", "x", callvault.Saved}, {"acme-ns", "A", "x", callvault.Pending}, {"acme-ns", "A", "y", callvault.DeletedTime},
		{"beta-co", "B", "x", callvault.PendingDeleteSpace}, {"acme-ns", "B", "y", callvault.Saved},
	} {
		one := recording(fmt.Sprint(i), int64(i))
		one.TenantName, one.Agent, one.Skill, one.Status, one.CallKey = r.tenant, r.agent, r.skill, r.status, "call"
		w.keep(one)
	}
	w.user("all", callvault.Grant{AllTenants: true}, callvault.Read)
	w.user("acme", callvault.Grant{Tenants: []string{"acme-ns"}}, callvault.Read)
	w.user("agentA", callvault.Grant{AllTenants: true, Agents: []string{"A"}}, callvault.Read)
	w.user("both", callvault.Grant{AllTenants: true, Agents: []string{"A", "B"}, Skills: []string{"y"}}, callvault.Read)
	w.user("none", callvault.Grant{Tenants: []string{"acme-ns"}, Agents: []string{"A"}, Skills: []string{"z"}}, callvault.Read)
	for _, c := range []struct {
		user, filter, want string
	}{
		{"all", "", "0 1 2 3 4"}, {"robot", "", "1 2 3 4"}, {"acme", "", "1 2 4"}, {"agentA", "", "0 1 2"}, {"both", "", "2 4"}, {"none", "", ""},
		{"all", "&tenantName=gamma", "0"}, {"all", "&tenantName=gamma&tenantName=beta-co", "0 3"},
		{"robot", "&tenantName=acme-ns&tenantName=acme-ns", "1 2 4"}, {"agentA", "&tenantName=acme-ns", "1 2"}, {"both", "&tenantName=beta-co", ""},
	} {
		if got := keysOf(t, w.get(list+c.filter, w.as(c.user)...)); got != c.want {
			t.Errorf("%s%s: recordings %q, want %q", c.user, c.filter, got, c.want)
		}
		var keys []string
		var infos []callvault.Call
		must(t, json.Unmarshal(w.get(calls+c.filter, w.as(c.user)...).body, &infos))
		for _, call := range infos {
			for _, r := range call.Recordings {
				if keys = append(keys, r.RecordingKey); r.TenantName != call.TenantName {
					t.Errorf("%s: the call of %s carries a recording of %s", c.user, call.TenantName, r.TenantName)
				}
			}
		}
		if len(keys) != len(strings.Fields(c.want)) {
			t.Errorf("%s%s: calls with %q, want %q", c.user, c.filter, keys, c.want)
		}
	}
	for _, c := range []struct {
		user, filter string
		status       int
		code         string
	}{
		{"acme", "beta-co", 403, "forbidden"}, {"acme", "nowhere", 403, "forbidden"}, {"all", "nowhere", 404, "not_found"},
		{"acme", "acme-ns&tenantName=beta-co", 403, "forbidden"},
	} {
		wantError(t, c.user+" "+c.filter, w.get(calls+"&tenantName="+c.filter, w.as(c.user)...), c.status, c.code)
	}
}

// TestCallCarriesAllItsRecordings lists a call that has one recording in the range.
func TestCallCarriesAllItsRecordings(t *testing.T) {
	w := newWorld(t)
	for i, after := range []int64{0, 60_000, 120_000} {
		r := recording(fmt.Sprint(i), after)
		r.CallKey = fmt.Sprintf("uuid-%d-%d", startMs-1000, startMs+180_000)
		w.keep(r)
	}
	var infos []callvault.Call
	must(t, json.Unmarshal(w.get(api+"call-recording-info?startTime=2024-02-12T20:41:30Z&endTime=2024-02-12T20:42:00Z").body, &infos))
	if len(infos) != 1 || len(infos[0].Recordings) != 3 || infos[0].CallID != "uuid" || infos[0].StartTime != startMs-1000 || infos[0].EndTime != startMs+180_000 {
		t.Errorf("got %+v", infos)
	}
	must(t, json.Unmarshal(w.get(api+"call-recording-info?startTime=2024-02-12T20:40:48Z&endTime=2024-02-12T20:40:49Z").body, &infos))
	if len(infos) != 0 {
		t.Errorf("the call starts there, but no recording of it does: %+v", infos)
	}
}

// fill makes many rows with SQL alone. They do not compress to almost nothing.
func (w *world) fill(n int) {
	w.t.Helper()
	w.keep(recording("a", 0))
	must(w.t, w.db.Tx(context.Background(), func(tx *sql.Tx) error {
		copied, err := tx.Prepare(`INSERT INTO recordings SELECT tenant, start_ms + CAST($1 AS BIGINT), $2, call_key, status, agent, skill,
			replace(replace(replace(json, '"startTime":' || start_ms, '"startTime":' || (start_ms + CAST($1 AS BIGINT))),
				'"tagData":""', '"tagData":"' || $3 || '"'), '"recordingKey":"a"', '"recordingKey":"' || $2 || '"'),
			bytes, audio_ms, sha256, upload_sha256, path, added_ms, read_ms FROM recordings WHERE tenant = 'acme-ns' AND recording_key = 'a'`)
		for i := 1; i <= n && err == nil; i++ {
			_, err = copied.Exec(i, fmt.Sprint("k", i), rand.Text()+rand.Text()+rand.Text())
		}
		return err
	}))
}

// TestListsOfManyPages: the pages that a list is read in cannot be seen in any of its forms.
func TestListsOfManyPages(t *testing.T) {
	w := newWorld(t)
	w.fill(500) // in pages of 32, 64, 128, 256 and what is left
	const rows = 501
	for _, coding := range []string{"", "gzip", "zstd"} {
		read := func(accept string) string {
			t.Helper()
			answer := w.get(list, "Accept", accept, "Accept-Encoding", coding)
			plain, err := unpack[coding](bytes.NewReader(answer.body))
			must(t, err)
			text, err := io.ReadAll(plain)
			must(t, err)
			return string(text)
		}
		array, lines := read("application/json"), read("application/x-ndjson")
		var all []callvault.Recording
		must(t, json.Unmarshal([]byte(array), &all))
		sorted := slices.IsSortedFunc(all, func(a, b callvault.Recording) int { return int(a.StartTime - b.StartTime) })
		if len(all) != rows || !sorted {
			t.Errorf("%q: the array has %d rows, in order: %t", coding, len(all), sorted)
		}
		if want := "[" + strings.ReplaceAll(strings.TrimSuffix(lines, "\n"), "\n", ",") + "]"; array != want || strings.Count(lines, "\n") != rows {
			t.Errorf("%q: %d lines are not the rows of the array", coding, strings.Count(lines, "\n"))
		}
	}
}

// TestListsBeginAtOnce: the first rows are sent, whole, before the buffer is full.
func TestListsBeginAtOnce(t *testing.T) {
	w := newWorld(t)
	w.fill(100)
	conn := w.dial(t)() // delivers each write as it was made
	w.ask(conn, "GET", list)
	var answer []byte
	for buffer := make([]byte, 1<<20); ; {
		n, err := conn.Read(buffer)
		must(t, err)
		answer = append(answer, buffer[:n]...)
		_, body, _ := bytes.Cut(answer, []byte("\r\n\r\n"))
		told, chunk, _ := bytes.Cut(body, []byte("\r\n"))
		size, _ := strconv.ParseUint(string(told), 16, 64)
		if whole := int(size) + len("\r\n"); size > 0 && len(chunk) >= whole {
			if size < 4<<10 || size > 20<<10 || len(chunk) > whole { // a page of 32 rows
				t.Errorf("of some 50 KB %d are the first, and came with %d more", size, len(chunk)-whole)
			}
			return
		}
	}
}

// TestBrokenListNeverLooksWhole removes the database while a client is reading a list.
func TestBrokenListNeverLooksWhole(t *testing.T) {
	for _, coding := range []string{"identity", "gzip", "zstd"} {
		t.Run(coding, func(t *testing.T) {
			w := newWorld(t)
			w.fill(3000)
			conn := w.dial(t)() // buffers nothing between the two ends
			w.ask(conn, "GET", list, "Accept-Encoding: "+coding)
			answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
			must(t, err)
			_, err = io.ReadFull(answer.Body, make([]byte, 1000))
			must(t, err)
			must(t, w.db.Close())
			rest, err := io.ReadAll(answer.Body)
			if err == nil || answer.StatusCode != 200 {
				t.Errorf("the list ends well after %d bytes: %v", len(rest), err)
			}
			if log := w.log.String(); !strings.Contains(log, "database is closed") {
				t.Errorf("the log says nothing of it: %s", log)
			}
		})
	}
}
