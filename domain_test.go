package callvault_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"callvault"

	"github.com/google/go-cmp/cmp"
)

func TestCheckKey(t *testing.T) {
	for _, key := range []string{
		"91a1e1e8-08p8-427b-bd04-da43c2a1db7d-1707770449131", "x", "..", "é☎", "a b", "%2F", `\`, strings.Repeat("k", 255), "\u00ad",
	} {
		if err := callvault.CheckKey("key", key); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	for _, key := range []string{"", "/", "a/b", "a\x00b", "\n", "\x7f", "\u0085", "\xff", "é\xc3", strings.Repeat("k", 256), strings.Repeat("é", 128)} {
		err := callvault.CheckKey("recording key", key)
		if !errors.Is(err, callvault.InvalidParameter) || !strings.HasPrefix(err.Error(), "the recording key ") || strings.ContainsAny(err.Error(), "\x00\n") {
			t.Errorf("%.20q: %v", key, err)
		}
	}
}

func TestSplitCallKey(t *testing.T) {
	for key, want := range map[string]struct {
		id   string
		span callvault.Span
		ok   bool
	}{
		"1dd0gg18-9c63-41de-a386-4f21ba0086f2-1707770438499-1707770497510": {"1dd0gg18-9c63-41de-a386-4f21ba0086f2", callvault.Span{From: 1707770438499, To: 1707770497510}, true},
		"a-5-5":                         {"a", callvault.Span{From: 5, To: 5}, true},
		"a-6-5":                         {"a-6-5", callvault.Span{}, false},
		"a-5":                           {"a-5", callvault.Span{}, false},
		"-5-6":                          {"-5-6", callvault.Span{}, false},
		"5-6":                           {"5-6", callvault.Span{}, false},
		"":                              {"", callvault.Span{}, false},
		"a--6":                          {"a--6", callvault.Span{}, false},
		"a-5-6x":                        {"a-5-6x", callvault.Span{}, false},
		"a-5-99999999999999999999":      {"a-5-99999999999999999999", callvault.Span{}, false},
		"a-0-253402300799999":           {"a", callvault.Span{From: 0, To: callvault.MaxTime}, true},
		"a-0-253402300800000":           {"a-0-253402300800000", callvault.Span{}, false},
		"d3b07384-d113-4956-a5e2-24ef6": {"d3b07384-d113-4956-a5e2-24ef6", callvault.Span{}, false},
	} {
		id, span, ok := callvault.SplitCallKey(key)
		if id != want.id || span != want.span || ok != want.ok {
			t.Errorf("%q: %q %v %t, want %+v", key, id, span, ok, want)
		}
	}
	made := callvault.NewCallKey(callvault.Span{From: 7, To: 9})
	if id, span, ok := callvault.SplitCallKey(made); len(id) != 36 || span != (callvault.Span{From: 7, To: 9}) || !ok {
		t.Errorf("a key of ours: %q", made)
	}
	if key := callvault.NewRecordingKey(7); len(key) != 38 || !strings.HasSuffix(key, "-7") || key == callvault.NewRecordingKey(7) {
		t.Errorf("a recording key of ours: %q", key)
	}
}

// The samples of the API guide, verbatim.
const (
	guideRecording = `{
"recordingKey": "91a1e1e8-08p8-427b-bd04-da43c2a1db7d-1707770449131",
"callKey": "1dd0gg18-9c63-41de-a386-4f21ba0086f2-1707770438499-1707770497510",
"startTime": 1707770449131,
"duration": 3606,
"size": 9111,
"eventId": 99181,
"recordingSystemId": 0,
"status": "SAVED",
"callingParty": "18885553794",
"receivingParty": "Spencer Porter(253)",
"tenantName": "acme-ns",
"tagData": "Default",
"callDirection": "INBOUND",
"skill": "CC Sales",
"agent": "Spencer Porter(253)"
}`
	guideCall = `{
"callId": "853be5cc-f498-5D47-a552-a0b38e6841fc",
"shortId": 31875,
"callKey": "853be5cc-f498-4f33-a552-a0b38e6841fc-1712110317069-1712110924851",
"startTime": 1712110317069,
"endTime": 1712110924851,
"direction": "INBOUND",
"recordings": [
{
"recordingKey": "fe417b58-34da-426c-8ffd-feca5fd772f4-1712110321584",
"callKey": "853be5cc-f498-4f33-a552-a0b38e6841fc-1712110317069-1712110924851",
"startTime": 1712110321584,
"duration": 603006,
"size": 341663,
"eventId": 101370,
"recordingSystemId": 0,
"status": "SAVED",
"callingParty": "13855554334",
"receivingParty": "Kelly Jaques(256)",
"tenantName": "acme-ns",
"tagData": "",
"callDirection": "INBOUND",
"skill": "",
"agent": "Kelly Jaques(256)"
}
],
"tenantName": "acme-ns",
"callerId": "WIRELESS CALLER",
"dialedPartyNumber": "7035559310",
"accountCodes": [],
"totalHoldDuration": 0,
"location": "Reno, NV",
"dropEventType": "DROP"
}`
)

// oneLine returns a sample's JSON without the white space it is printed with.
func oneLine(text string) string {
	text = strings.ReplaceAll(text, "\n", "")
	return strings.ReplaceAll(text, `": `, `":`)
}

func TestJSONIsThatOfTheGuide(t *testing.T) {
	var r callvault.Recording
	if err := json.Unmarshal([]byte(guideRecording), &r); err != nil || r.Validate() != nil {
		t.Fatal(err, r.Validate())
	}
	if diff := cmp.Diff("x"+oneLine(guideRecording), string(r.AppendJSON([]byte("x")))); diff != "" {
		t.Error(diff)
	}
	var c callvault.Call
	if err := json.Unmarshal([]byte(guideCall), &c); err != nil || c.Validate() != nil {
		t.Fatal(err, c.Validate())
	}
	if diff := cmp.Diff(oneLine(guideCall), string(c.AppendJSON(nil))); diff != "" {
		t.Error(diff)
	}
	r = callvault.Recording{CallingParty: "<&> \u2028 \x01 ☎"}
	if got := string(r.AppendJSON(nil)); !strings.Contains(got, `"callingParty":"<&> \u2028 \u0001 ☎"`) || strings.Contains(got, "null") {
		t.Errorf("zero recording: %s", got)
	}
	if got := string((&callvault.Call{}).AppendJSON(nil)); strings.Contains(got, "null") {
		t.Errorf("zero call: %s", got)
	}
}

func TestValidate(t *testing.T) {
	var good callvault.Recording
	if err := json.Unmarshal([]byte(guideRecording), &good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*callvault.Recording){
		"no key": func(r *callvault.Recording) { r.RecordingKey = "" }, "call key": func(r *callvault.Recording) { r.CallKey = "a/b" },
		"tenant": func(r *callvault.Recording) { r.TenantName = "\n" }, "no start": func(r *callvault.Recording) { r.StartTime = 0 },
		"late start": func(r *callvault.Recording) { r.StartTime = callvault.MaxTime + 1 }, "duration": func(r *callvault.Recording) { r.Duration = -1 },
		"size": func(r *callvault.Recording) { r.Size = -1 }, "status": func(r *callvault.Recording) { r.Status = "" },
	} {
		r := good
		spoil(&r)
		if err := r.Validate(); !errors.Is(err, callvault.InvalidParameter) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCodes(t *testing.T) {
	for code, want := range map[callvault.Code]string{
		400: "400 invalid_parameter", 401: "401 unauthorized", 403: "403 forbidden", 404: "404 not_found", 405: "405 method_not_allowed",
		409: "409 conflict", 412: "412 precondition_failed", 413: "413 payload_too_large", 415: "415 unsupported_media_type",
		416: "416 range_not_satisfiable", 422: "422 unprocessable_audio", 429: "429 too_many_requests", 500: "500 internal",
		503: "503 unavailable", 507: "507 insufficient_storage", 509: "509 bandwidth_limit_exceeded", 418: "418 status_418",
	} {
		if code.Error() != want || code.Name() != want[4:] {
			t.Errorf("%d: %v, %s", int(code), code, code.Name())
		}
	}
	err := fmt.Errorf("tenant: %w", callvault.Wait{Code: callvault.TooManyRequests, For: 2001 * time.Millisecond})
	var wait callvault.Wait
	if !errors.Is(err, callvault.TooManyRequests) || errors.Is(err, callvault.BandwidthExceeded) || !errors.As(err, &wait) || wait.RetryAfter() != 3 {
		t.Errorf("%v", err)
	}
	for d, want := range map[time.Duration]int64{-1: 1, 0: 1, 1: 1, time.Second: 1, time.Second + 1: 2, 5 * 24 * time.Hour: 432000} {
		if got := (callvault.Wait{For: d}).RetryAfter(); got != want {
			t.Errorf("RetryAfter of %v: %d, want %d", d, got, want)
		}
	}
}

func TestEgressLimit(t *testing.T) {
	number := func(n int64) *int64 { return &n }
	for _, c := range []struct {
		tenant  callvault.Tenant
		limit   int64
		limited bool
	}{
		{callvault.Tenant{}, 0, false},
		{callvault.Tenant{Agents: number(1)}, 273_600_000, true},
		{callvault.Tenant{Agents: number(25)}, 6_840_000_000, true},
		{callvault.Tenant{Agents: number(0)}, 0, true},
		{callvault.Tenant{Agents: number(10_000_000)}, 2_736_000_000_000_000, true},
		{callvault.Tenant{Agents: number(1), EgressOverride: number(5)}, 5, true},
		{callvault.Tenant{Agents: number(1), EgressOverride: number(5), EgressOff: true}, 0, false},
	} {
		if limit, limited := c.tenant.EgressLimit(); limit != c.limit || limited != c.limited {
			t.Errorf("%+v: %d, %t", c.tenant, limit, limited)
		}
	}
}

func TestTenantValidate(t *testing.T) {
	number := func(n int64) *int64 { return &n }
	for _, good := range []callvault.Tenant{{Name: "acme-ns"}, {Name: "a", TimeZone: "America/Denver", Agents: number(0), EgressOverride: number(0)}} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for _, bad := range []callvault.Tenant{
		{}, {Name: "a/b"}, {Name: "a", TimeZone: "Denver"}, {Name: "a", TimeZone: "Local"}, {Name: "a", Agents: number(-1)},
		{Name: "a", Agents: number(1 << 40)}, {Name: "a", EgressOverride: number(-1)},
	} {
		if err := bad.Validate(); !errors.Is(err, callvault.InvalidParameter) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestGrant(t *testing.T) {
	r := callvault.Recording{TenantName: "acme-ns", Agent: "A", Skill: "x"}
	for _, c := range []struct {
		grant       callvault.Grant
		reach, hear bool
	}{
		{callvault.Grant{}, false, false},
		{callvault.Grant{AllTenants: true}, true, true},
		{callvault.Grant{Tenants: []string{"beta", "acme-ns"}}, true, true},
		{callvault.Grant{Tenants: []string{"acme"}}, false, false},
		{callvault.Grant{Tenants: []string{"ACME-NS"}}, false, false},
		{callvault.Grant{AllTenants: true, Agents: []string{"A"}}, true, true},
		{callvault.Grant{AllTenants: true, Agents: []string{"B"}}, true, false},
		{callvault.Grant{AllTenants: true, Skills: []string{"y", "x"}}, true, true},
		{callvault.Grant{AllTenants: true, Agents: []string{"A"}, Skills: []string{"y"}}, true, false},
		{callvault.Grant{AllTenants: true, Agents: []string{"B"}, Skills: []string{"x"}}, true, false},
		{callvault.Grant{Tenants: []string{"beta"}, Agents: []string{"A"}}, false, false},
	} {
		if reach, hear := c.grant.MayReach("acme-ns"), c.grant.MayHear(&r); reach != c.reach || hear != c.hear {
			t.Errorf("%+v: reach %t, hear %t", c.grant, reach, hear)
		}
	}
	narrow := (&callvault.Grant{AllTenants: true, Agents: []string{"A"}}).Narrow([]string{"beta"})
	if narrow.MayReach("acme-ns") || !narrow.MayReach("beta") || narrow.MayHear(&callvault.Recording{TenantName: "beta", Agent: "B"}) {
		t.Errorf("narrowed: %+v", narrow)
	}
	can, err := callvault.ParseCapabilities(" Read,write,read")
	if diff := cmp.Diff([]callvault.Capability{"read", "write"}, can); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
	for _, bad := range []string{"", "read,", "root"} {
		if _, err := callvault.ParseCapabilities(bad); !errors.Is(err, callvault.InvalidParameter) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestStatus(t *testing.T) {
	for status, want := range map[callvault.Status][3]bool{ // has audio, deleted, known
		"PENDING": {false, false, true}, "SAVED": {true, false, true}, "PENDING_DELETE_SPACE": {true, false, true},
		"PENDING_DELETE_TIME": {true, false, true}, "DELETED_USER": {false, true, true}, "DELETED_SPACE": {false, true, true},
		"DELETED_TIME": {false, true, true}, "DELETED_UNKNOWN": {false, true, true}, "ARCHIVED": {false, false, false}, "": {false, false, false},
	} {
		if got := [3]bool{status.HasAudio(), status.Deleted(), status.Known()}; got != want {
			t.Errorf("%s: %v, want %v", status, got, want)
		}
	}
}

func TestCallOf(t *testing.T) {
	r := callvault.Recording{CallKey: "id-5-9", StartTime: 6, Duration: 2, TenantName: "t", CallDirection: "INBOUND", CallingParty: "1", ReceivingParty: "2"}
	want := callvault.Call{CallID: "id", CallKey: "id-5-9", StartTime: 5, EndTime: 9, Direction: "INBOUND", TenantName: "t", CallerID: "1"}
	if diff := cmp.Diff(want, callvault.CallOf(&r)); diff != "" {
		t.Error(diff)
	}
	r.CallKey, r.CallDirection = "odd", "OUTBOUND"
	want = callvault.Call{CallID: "odd", CallKey: "odd", StartTime: 6, EndTime: 8, Direction: "OUTBOUND", TenantName: "t", DialedPartyNumber: "2"}
	if diff := cmp.Diff(want, callvault.CallOf(&r)); diff != "" {
		t.Error(diff)
	}
	// Numbers that cannot be the times of this recording's call: in 1970, or years in the future.
	const day = 24 * 60 * 60 * 1000
	r.StartTime = 1707770449131
	for key, call := range map[string][2]int64{
		fmt.Sprintf("id-%d-%d", r.StartTime-day, r.StartTime-day):     {r.StartTime - day, r.StartTime - day},
		fmt.Sprintf("id-%d-%d", r.StartTime-day-1, r.StartTime-day-1): {r.StartTime, r.StartTime + r.Duration},
		fmt.Sprintf("id-%d-%d", r.StartTime+day, r.StartTime+day):     {r.StartTime + day, r.StartTime + day},
		fmt.Sprintf("id-%d-%d", r.StartTime+day+1, r.StartTime+day+1): {r.StartTime, r.StartTime + r.Duration},
		"pbx-7-12": {r.StartTime, r.StartTime + r.Duration},
	} {
		r.CallKey = key
		if got := callvault.CallOf(&r); got.StartTime != call[0] || got.EndTime != call[1] {
			t.Errorf("%s: from %d to %d, want %v", key, got.StartTime, got.EndTime, call)
		}
	}
}
