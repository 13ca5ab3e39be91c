package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"callvault"
)

func TestRecordingFields(t *testing.T) {
	odd := `{ "size" : 1.6379e4, "unknown":{"a":[1,"}"]}, "recordingKey":"k\u00e9\"1", "callKey":null, "startTime":"1707770466508",
		"duration":12806.000, "eventId":"99184", "recordingSystemId":null, "status":"SOMETHING_NEW", "callingParty":null,
		"receivingParty":"\\\ud83d\ude00", "tenantName":"acme-ns", "tagData":"", "skill":"a,b:{", "skil\u006c":"CC" }`
	all := collect(t, serveText(t, "application/json", "["+good+","+odd+"]"))
	if all.err != nil || len(all.malformed) > 0 || len(all.items) != 2 {
		t.Fatal(all)
	}
	var want callvault.Recording
	if err := json.Unmarshal([]byte(good), &want); err != nil {
		t.Fatal(err)
	}
	if all.items[0].Recording != want || string(all.items[0].Raw) != good {
		t.Errorf("got %+v, want %+v", all.items[0], want)
	}
	want = callvault.Recording{
		RecordingKey: `ké"1`, StartTime: 1707770466508, Duration: 12806, Size: 16379, EventID: 99184,
		Status: "SOMETHING_NEW", ReceivingParty: `\😀`, TenantName: "acme-ns", Skill: "CC",
	}
	if all.items[1].Recording != want || string(all.items[1].Raw) != odd {
		t.Errorf("got %+v, want %+v", all.items[1], want)
	}
}

// with returns a good recording with one field changed.
func with(field, value string) string {
	fields := map[string]string{"recordingKey": `"k"`, "tenantName": `"t"`, "startTime": "1707770466508", "status": `"SAVED"`}
	fields[field] = value
	var parts []string
	for name, value := range fields {
		if value != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", name, value))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// TestMalformedItems: malformed items are set aside with the reason, and the items around
// them are listed.
func TestMalformedItems(t *testing.T) {
	for _, test := range []struct{ item, says string }{
		{"null", "not an object"},
		{"5", "not an object"},
		{"true", "not an object"},
		{`"a,]}"`, "not an object"},
		{`[{"recordingKey":"x"}]`, "not an object"},
		{"{}", "recordingKey is missing"},
		{"{ }", "recordingKey is missing"},
		{`{"a" "b"}`, "not valid JSON"},
		{`{"a":1,}`, "not valid JSON"},
		{`{"a":]`, "not valid JSON"},
		{"{\"a\":\"\n\"}", "not valid JSON"},
		{with("recordingKey", ""), "recordingKey is missing"},
		{with("recordingKey", "null"), "recordingKey is missing"},
		{with("recordingKey", `""`), "recordingKey is missing"},
		{with("recordingKey", `"a/b"`), "slash"},
		{with("recordingKey", `"a\u0000b"`), "control"},
		{with("recordingKey", `"`+strings.Repeat("x", 256)+`"`), "256 bytes"},
		{with("recordingKey", "\"a\xffb\""), "UTF-8"},
		{with("recordingKey", `"a\ud800b"`), "UTF-8"},
		{with("recordingKey", "5"), "recordingKey is 5, not a string"},
		{with("tenantName", ""), "tenantName is missing"},
		{with("tenantName", `"a/b"`), "slash"},
		{with("callKey", `"a/b"`), "slash"},
		{with("startTime", ""), "startTime is missing"},
		{with("startTime", "null"), "startTime is missing"},
		{with("startTime", "-5"), "not a time"},
		{with("startTime", "1e18"), "not a time"},
		{with("startTime", "1e99"), "startTime is 1e99, not a whole number"},
		{with("startTime", `"2024-02-12"`), "not a whole number"},
		{with("size", "1.5"), "size is 1.5, not a whole number"},
		{with("size", "true"), "not a whole number"},
		{with("size", `""`), "not a whole number"},
		{with("size", "[1]"), "not a whole number"},
		{with("duration", `{"ms":5}`), "not a whole number"},
		{with("agent", `{"name":"x"}`), "not a string"},
		{with("skill", "false"), "not a string"},
	} {
		r := recordings(2)
		for _, body := range []string{"[" + r[0] + "," + test.item + " ," + r[1] + "]", `{"recordings":[` + r[0] + "," + test.item + "," + r[1] + "]}"} {
			all := collect(t, serveText(t, "application/json", body))
			if all.err != nil || strings.Join(all.keys, " ") != "r0 r1" || len(all.malformed) != 1 {
				t.Errorf("%s: got %+v", test.item, all)
				continue
			}
			m := all.malformed[0]
			if m.Index != 1 || string(m.Raw) != test.item || m.Size != int64(len(test.item)) {
				t.Errorf("%s: got %+v", test.item, m)
			}
			if !strings.Contains(m.Error(), test.says) || !strings.Contains(m.Error(), "item 1 of the list") || strings.Contains(m.Error(), "\n") {
				t.Errorf("%s: the error says %q; want %q in it", test.item, m, test.says)
			}
			var code callvault.Code
			if errors.As(m, &code) {
				t.Errorf("%s: it counts as an answer's status", test.item)
			}
		}
	}
}

// TestTolerated: an odd item whose audio can be requested is listed.
func TestTolerated(t *testing.T) {
	for _, item := range []string{
		with("status", ""), with("status", "null"), with("status", `"WHATEVER"`), with("callKey", `""`), with("size", "-1"), with("duration", "-1.0"),
		with("agent", "\"Z\xfcrich\""), with("agent", `"\ud800"`), with("recordingKey", `"..é %"`), with("eventId", "-9223372036854775808"),
	} {
		all := collect(t, serveText(t, "application/json", "["+item+"]"))
		if all.err != nil || len(all.items) != 1 {
			t.Errorf("%s: got %+v", item, all)
			continue
		}
		if raw := all.items[0].Raw; !json.Valid(raw) || strings.ToValidUTF8(string(raw), "") != string(raw) {
			t.Errorf("%s: raw is %q", item, raw)
		}
	}
}

func TestLargeItems(t *testing.T) {
	r := recordings(2)
	large := `{"recordingKey":"large","tagData":"` + strings.Repeat("x", 100_000) + `","startTime":1,"tenantName":"t"}`
	broken := `{"recordingKey":"large","tagData":"` + strings.Repeat("x", 100_000) + `"}`
	giant := `{"recordingKey":"giant","tagData":"` + strings.Repeat(`\"}`, maxItem) + `","startTime":1,"tenantName":"t"}`
	all := collect(t, serveText(t, "application/json", "["+strings.Join([]string{r[0], large, giant, broken, r[1]}, ",")+"]"))
	if all.err != nil || strings.Join(all.keys, " ") != "r0 large r1" || len(all.malformed) != 2 {
		t.Fatal(all.err, all.keys, len(all.malformed))
	}
	for i, want := range []string{giant, broken} {
		m := all.malformed[i]
		if m.Size != int64(len(want)) || string(m.Raw) != want[:maxRaw] || m.Index != int64(i+2) {
			t.Errorf("%d bytes at %d, %d of them kept: %v", m.Size, m.Index, len(m.Raw), m)
		}
	}
}

// TestLargeItemWithKey: what is kept of a malformed item that quotes the key has no part of it,
// wherever the item is cut off.
func TestLargeItemWithKey(t *testing.T) {
	for shown := minSecret; shown <= len(testKey); shown++ {
		open := `{"recordingKey":"large","tagData":"`
		broken := open + strings.Repeat("x", maxRaw-len(open)-shown) + testKey + strings.Repeat("x", 1000) + `"}`
		all := collect(t, serveText(t, "application/json", "["+broken+"]"))
		if all.err != nil || len(all.malformed) != 1 || all.malformed[0].Size != int64(len(broken)) {
			t.Fatal(all.err, all.malformed)
		}
		if raw := string(all.malformed[0].Raw); strings.Contains(raw, testKey[:minSecret]) {
			t.Errorf("%d bytes of the key, %d of them kept: …%q", len(testKey), shown, raw[len(raw)-50:])
		}
	}
}

func TestCalls(t *testing.T) {
	r := recordings(3)
	call := func(fields string) string {
		return `{"callId":"853be5cc","shortId":31875,"callKey":"853be5cc-1-2","startTime":1712110317069,"endTime":1712110924851,` +
			`"direction":"INBOUND","tenantName":"acme-ns","callerId":"WIRELESS CALLER","dialedPartyNumber":"7035559310",` +
			`"accountCodes":[ "a" , {"b":[1]}, null],"totalHoldDuration":5,"location":"Reno, NV","dropEventType":"DROP",` + fields + "}"
	}
	bad := `{"recordingKey":"bad","tenantName":"t"}`
	whole := call(`"recordings":[` + r[0] + " , " + bad + "," + r[1] + `, 7]`)
	broken := call(`"recordings":[` + r[2] + `],"startTime":"never"`)
	ongoing := call(`"recordings":null,"endTime":null,"accountCodes":null`)
	c := serveText(t, "application/json", "["+whole+","+broken+","+ongoing+","+call(`"recordings":"none"`)+","+call(`"callKey":"a/b"`)+"]")
	var calls []CallItem
	var said []string
	var last *MalformedItem
	for item, err := range c.Calls(t.Context(), anyDay) {
		if m, ok := MalformedOf(err); ok {
			said = append(said, fmt.Sprintf("%d %s %v", m.Index, m.CallKey, m.Err))
			if len(m.Recordings) > 0 {
				last = m
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, item)
	}
	want := []string{
		"0 853be5cc-1-2 startTime is missing", "0 853be5cc-1-2 it is not an object",
		`1  startTime is "never", not a whole number`, `3  recordings is "none", not an array`, "4  the callKey holds a slash",
	}
	if !reflect.DeepEqual(said, want) {
		t.Errorf("set aside %q, want %q", said, want)
	}
	if last == nil || last.Index != 1 || last.Recordings[0].RecordingKey != "r2" || string(last.Recordings[0].Raw) != r[2] {
		t.Errorf("the malformed call comes with %+v", last)
	}
	if len(calls) != 2 {
		t.Fatal(calls)
	}
	first := calls[0]
	if string(first.Raw) != whole || len(first.RawRecordings) != 2 || string(first.RawRecordings[1]) != r[1] ||
		first.Items()[1].RecordingKey != "r1" || string(first.Items()[0].Raw) != r[0] {
		t.Errorf("got %+v", first)
	}
	var plain callvault.Call
	if err := json.Unmarshal([]byte(call(`"recordings":[`+r[0]+","+r[1]+"]")), &plain); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(first.Call, plain) {
		t.Errorf("got %+v, want %+v", first.Call, plain)
	}
	if calls[1].EndTime != 0 || calls[1].Recordings != nil || calls[1].AccountCodes != nil {
		t.Errorf("got %+v", calls[1])
	}
}

func TestCallsBare(t *testing.T) {
	call := `{"callId":"i","callKey":"k","startTime":5,"tenantName":"t","recordings":[` + recordings(1)[0] + `]}`
	c := serveText(t, "application/json", call+",\n"+call+",\n")
	n := 0
	for item, err := range c.Calls(t.Context(), anyDay) {
		if err != nil || len(item.Recordings) != 1 {
			t.Fatal(item, err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

func TestWhole(t *testing.T) {
	for text, want := range map[string]int64{
		"null": 0, "0": 0, "-0": 0, "0.0": 0, "0e5": 0, "5": 5, "-5": -5, "1.7e12": 1_700_000_000_000, "1.7E+12": 1_700_000_000_000,
		"1707770449131.0": 1707770449131, "12e-1": -1, "120e-1": 12, `"5"`: 5, `"-1.50e1"`: -15, "0.5e1": 5, "0.05": -1,
		"9223372036854775807": 1<<63 - 1, "-9223372036854775808": -1 << 63, "9007199254740993.0": 9007199254740993,
		"922337203685477580.7e1": 1<<63 - 1, "1e19": -1, "1e999999999999": -1, "1e-999999999999": -1, "9223372036854775808": -1,
		`""`: -1, `" 5"`: -1, `"5 "`: -1, `"05"`: -1, `"+5"`: -1, `"0x5"`: -1, `"5_0"`: -1, `"NaN"`: -1, `"null"`: -1, `"true"`: -1, `"-"`: -1,
		`"\u0035"`: -1, `"[5"`: -1, "true": -1, "[5]": -1, `{"a":5}`: -1, `".5"`: -1, `"5."`: -1, `"1e"`: -1, `"e1"`: -1,
	} {
		got, err := readInteger([]byte(text))
		if (err != nil) != (want == -1) || err == nil && got != want {
			t.Errorf("%s: got %d, %v; want %d", text, got, err, want)
		}
	}
}

// TestKeyInItems: a source that shows the key in its rows does not bring it into a report.
func TestKeyInItems(t *testing.T) {
	all := collect(t, serveText(t, "application/json", `[{"recordingKey":["`+testKey+`"]}]`))
	if len(all.malformed) != 1 || strings.Contains(all.malformed[0].Error()+string(all.malformed[0].Raw), testKey) {
		t.Errorf("got %+v", all)
	}
}

func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"": "", " a\r\n\tb ": "a b", "a\x00\u202eb\xff": "a ?b?", strings.Repeat("é", 200): strings.Repeat("é", 150) + "…",
		"a" + strings.Repeat("é", 200): "a" + strings.Repeat("é", 149) + "…",
	} {
		if got := oneLine(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
