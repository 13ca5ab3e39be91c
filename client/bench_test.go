package client

import (
	"bytes"
	"strings"
	"testing"
)

// BenchmarkRecordings measures the decoder of lists, without the network.
func BenchmarkRecordings(b *testing.B) {
	body := []byte("[" + strings.Repeat(good+",", 9999) + good + "]")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		l := list{scan: scanner{src: bytes.NewReader(body)}, take: func(_ int64, p rawValue) bool {
			if _, bad := readItem(p); bad == nil {
				n++
			}
			return true
		}}
		if err := l.document(); err != nil || n != 10_000 {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkCalls is the same for calls of one recording each.
func BenchmarkCalls(b *testing.B) {
	call := `{"callId":"853be5cc-f498-5D47-a552-a0b38e6841fc","shortId":31875,"callKey":"853be5cc-f498-4f33-a552-a0b38e6841fc-1712110317069-1712110924851",` +
		`"startTime":1712110317069,"endTime":1712110924851,"direction":"INBOUND","recordings":[` + good + `],"tenantName":"acme-ns",` +
		`"callerId":"WIRELESS CALLER","dialedPartyNumber":"7035559310","accountCodes":[],"totalHoldDuration":0,"location":"Reno, NV","dropEventType":"DROP"}`
	body := []byte("[" + strings.Repeat(call+",", 4999) + call + "]")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		l := list{scan: scanner{src: bytes.NewReader(body)}, take: func(_ int64, p rawValue) bool {
			if item, set := readCall(p); set.call == nil {
				n += len(item.Recordings)
			}
			return true
		}}
		if err := l.document(); err != nil || n != 5000 {
			b.Fatal(n, err)
		}
	}
}
