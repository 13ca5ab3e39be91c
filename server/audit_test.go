package server_test

import (
	"fmt"
	"testing"

	"callvault/account"

	"github.com/google/go-cmp/cmp"
)

// The audit trail has what was sent and uploaded, but not what was refused, answered
// without a body, or not sent again.
func TestWhatIsSentIsInTheTrail(t *testing.T) {
	w := newWorld(t)
	size := w.keep(recording("k", 0)).Recording.Size
	whole := w.get(audioPath("acme-ns", "k"))
	w.get(audioPath("acme-ns", "k"), "Range", "bytes=0-99")
	w.do("HEAD", audioPath("acme-ns", "k"))
	w.get(audioPath("acme-ns", "k"), "If-None-Match", whole.Header.Get("Etag"))
	w.get(audioPath("acme-ns", "k"), "Range", "bytes=99999999-")
	w.get(audioPath("acme-ns", "none"))
	listed := w.get(list)
	w.do("HEAD", list)
	w.get(list + "&tenantName=nowhere")
	called := w.get(calls + "&tenantName=acme-ns")
	w.post("acme-ns", "robot", jsonPart("recording", recording("u", 1)), part{name: "audio", content: clips()[1]})
	w.http.Close() // waits for the end of all responses

	events, err := w.accounts.Events(t.Context(), &account.AuditQuery{Who: "robot"})
	must(t, err)
	var got []string
	for i := len(events) - 1; i >= 0; i-- {
		e := events[i]
		if e.Via != account.ViaAPI || e.From != "127.0.0.1" {
			t.Errorf("via %q from %q: %+v", e.Via, e.From, e)
		}
		got = append(got, fmt.Sprintf("%s|%s|%s|%s|%d times|%d", e.Action, e.Tenant, e.Recording, e.Detail, e.Times, e.Bytes))
	}
	day := "2024-02-12T00:00:00.000Z to 2024-02-13T00:00:00.000Z"
	want := []string{
		fmt.Sprintf("download|acme-ns|k|opus|2 times|%d", size+100),
		fmt.Sprintf("list recordings|||%s|1 times|%d", day, len(listed.body)),
		fmt.Sprintf("list calls|acme-ns||%s|1 times|%d", day, len(called.body)),
		fmt.Sprintf("upload|acme-ns|u||1 times|%d", len(clips()[1])),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	_, _, err = w.accounts.VerifyAudit(t.Context())
	must(t, err)
}
