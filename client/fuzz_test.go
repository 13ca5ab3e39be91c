package client

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"callvault"
)

// decoded is what the decoder makes of a body.
type decoded struct {
	items     []string
	malformed int
	err       string
}

func decode(scan scanner) decoded {
	var d decoded
	l := list{scan: scan, framed: true, take: func(_ int64, p rawValue) bool {
		item, bad := readItem(p)
		if bad != nil {
			d.malformed++
		}
		// The call's decoder must bear whatever the recording's bears.
		readCall(p)
		d.items = append(d.items, string(p.raw))
		if bad == nil && !json.Valid(item.Raw) {
			panic("raw is not JSON")
		}
		return true
	}}
	if err := l.document(); err != nil {
		// What it shows of a body that is no list depends on how much came at once.
		d.err, _, _ = strings.Cut(err.Error(), "it begins with")
		if d.err == "" {
			d.err = "it begins otherwise"
		}
	}
	return d
}

// FuzzList: the decoder accepts every JSON array with its items as they are, reports anything
// that is not a list, and does not depend on how the bytes come.
func FuzzList(f *testing.F) {
	r := recordings(2)
	for _, body := range []string{
		"[]", "[" + good + "," + r[0] + "]", `{"recordings":[` + r[1] + `],"total":1}`, r[0] + ",\n" + r[1] + ",",
		"\ufeff[1,\"a\\\"]\",null,[2,{}],{\"a\":[]}]", "[" + r[0], "<html>", `{"a":[],"b":[]}`, "[12{}]", `[{"a":1]]`, `{"a":{"b":[]},"c":"\\"}`,
		`[{"callKey":"k","startTime":"1e3","tenantName":"t","recordings":[{},{"recordingKey":"k"}],"accountCodes":[1]}]`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got := decode(scanner{src: bytes.NewReader(body)})
		dripped := decode(scanner{src: iotest.OneByteReader(bytes.NewReader(body)), buf: make([]byte, 0, 1)})
		if !reflect.DeepEqual(got, dripped) {
			t.Fatalf("at once %+v, byte by byte %+v", got, dripped)
		}
		var want []json.RawMessage
		body = bytes.TrimPrefix(body, []byte("\ufeff"))
		if isArray := bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("[")); isArray && json.Unmarshal(body, &want) == nil {
			if got.err != "" || len(got.items) != len(want) {
				t.Fatalf("%+v, want %d items", got, len(want))
			}
			for i := range want {
				if got.items[i] != string(want[i]) {
					t.Fatalf("item %d is %q, want %q", i, got.items[i], want[i])
				}
			}
		} else if isArray && got.err == "" && got.malformed == 0 {
			t.Fatalf("it is no JSON and passes for a list: %+v", got)
		}
	})
}

// FuzzJSON: we accept the same JSON as encoding/json.
func FuzzJSON(f *testing.F) {
	for _, text := range []string{good, "[1,-0.5e+7,0,1E-3]", "[01]", `"\u00zz"`, `{"a":[{}, [] ,null]}`, `{"a":1,}`, "[1 ]", "-", "1.", `"\x"`, "tru", "\"\t\""} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Trim(b, " \t\r\n")
		got := len(b) > 0 && skipValue(b, 0, 1) == len(b)
		if want := json.Valid(b); got != want {
			t.Fatalf("%q: got %v, want %v", b, got, want)
		}
		if len(b) == 0 || b[0] != '{' {
			return
		}
		if got := fields(b, func(_, _ []byte) error { return nil }) == nil; got != json.Valid(b) {
			t.Fatalf("%q: its fields are read: %v", b, got)
		}
	})
}

// FuzzRecording: where encoding/json reads an object as a recording, so do we.
func FuzzRecording(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(`{"recordingKey":"a\u00e9\n\ud83d\ude00","startTime":5,"tenantName":"\\","size":-7,"duration":1000000000000000000}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) == 0 || raw[0] != '{' || bytes.ContainsAny(raw[1:], "{") || !json.Valid(raw) {
			return
		}
		var strict callvault.Recording
		if json.Unmarshal(raw, &strict) != nil || strings.ContainsRune(strict.RecordingKey+strict.TenantName+strict.CallKey, '\ufffd') ||
			strict.Validate() != nil || foldedName(raw) || bytes.Contains(raw, []byte("null")) {
			return
		}
		item, bad := readItem(rawValue{raw, int64(len(raw))})
		if bad != nil || item.Recording != strict {
			t.Fatalf("%q: got %+v, %v; want %+v", raw, item.Recording, bad, strict)
		}
	})
}

// foldedName reports whether encoding/json may have taken a name that differs in case for one
// of ours.
func foldedName(raw []byte) bool {
	var names map[string]any
	if json.Unmarshal(raw, &names) != nil {
		return true
	}
	for name := range names {
		for ours := range strings.FieldsSeq(`recordingKey callKey startTime duration size eventId recordingSystemId
			status callingParty receivingParty tenantName tagData callDirection skill agent`) {
			if name != ours && strings.EqualFold(name, ours) {
				return true
			}
		}
	}
	return false
}
