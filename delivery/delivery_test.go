package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/archive/disk"
	"callvault/database"
	"callvault/database/databasetest"
	"callvault/delivery"
	"callvault/meter"
	"callvault/sample"

	_ "modernc.org/sqlite"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shelf is an archive of one recording, with the tenant and the meter to charge for it.
type shelf struct {
	t       *testing.T
	archive *archive.Archive
	meter   *meter.Memory
	tenant  *callvault.Tenant
	entry   *archive.Entry
	clip    []byte
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	ctx, dir := context.Background(), t.TempDir()
	db, err := database.Open(ctx, databasetest.Place(filepath.Join(dir, "callvault.db")))
	must(t, err)
	store, err := disk.Open(filepath.Join(dir, "audio"))
	must(t, err)
	t.Cleanup(func() { store.Close(); db.Close() })
	s := &shelf{t: t, tenant: &callvault.Tenant{Name: "acme-ns"}}
	s.archive, err = archive.New(ctx, db, store)
	must(t, err)
	s.meter, err = meter.Open(ctx, db)
	must(t, err)
	for item := range sample.Month(time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)) {
		if item.Recording.Status == callvault.Saved {
			s.keep(item)
			break
		}
	}
	return s
}

func (s *shelf) keep(item sample.Item) {
	s.t.Helper()
	spool, err := s.archive.NewSpool()
	must(s.t, err)
	_, err = spool.Write(item.Audio)
	must(s.t, err)
	kept, err := spool.Finish()
	must(s.t, err)
	r := item.Recording
	r.TenantName = s.tenant.Name
	s.clip = item.Audio
	s.entry, _, err = s.archive.Keep(context.Background(), &archive.Intake{Recording: r, Audio: kept, Added: time.Now()})
	must(s.t, err)
}

// send answers a request to w, and returns what Send returns.
func (s *shelf) send(w http.ResponseWriter, r *http.Request, d delivery.Delivery) (int64, error) {
	s.t.Helper()
	file, err := s.archive.OpenAudio(r.Context(), s.entry)
	must(s.t, err)
	defer file.Close()
	d.Meter, d.Tenant, d.Entry, d.Audio = s.meter, s.tenant, s.entry, file
	return d.Send(w, r)
}

func (s *shelf) used() int64 {
	s.t.Helper()
	usage, err := s.meter.Usage(context.Background(), s.tenant, time.Now())
	must(s.t, err)
	return usage.Used
}

func TestSendTellsAndChargesWhatLeft(t *testing.T) {
	s := newShelf(t)
	size := int64(len(s.clip))
	tag := fmt.Sprintf(`"%x"`, s.entry.SHA256)
	for _, c := range []struct {
		method, header, value string
		sent                  int64
	}{
		{"GET", "", "", size},
		{"GET", "Range", "bytes=0-99", 100},
		{"GET", "Range", "bytes=-7", 7},
		{"GET", "If-None-Match", tag, 0},
		{"HEAD", "Range", "bytes=0-99", 0},
	} {
		before := s.used()
		r := httptest.NewRequest(c.method, "/", nil)
		if c.header != "" {
			r.Header.Set(c.header, c.value)
		}
		w := httptest.NewRecorder()
		sent, err := s.send(w, r, delivery.Delivery{Format: delivery.Opus})
		must(t, err)
		if sent != c.sent || int64(w.Body.Len()) != c.sent || s.used()-before != c.sent {
			t.Errorf("%s %s %s: %d bytes told, %d sent, %d charged; want %d",
				c.method, c.header, c.value, sent, w.Body.Len(), s.used()-before, c.sent)
		}
	}
}

// TestWAVOfDamagedAudio: damaged audio that an operator has accepted is sent as it is. If
// it is requested as WAV the error says why that cannot be.
func TestWAVOfDamagedAudio(t *testing.T) {
	s := newShelf(t)
	spool, err := s.archive.NewSpool()
	must(t, err)
	damaged := bytes.Clone(s.clip)
	damaged[len(damaged)/2]++
	_, err = spool.Write(damaged)
	must(t, err)
	kept, err := spool.Accept()
	must(t, err)
	r := s.entry.Recording
	r.RecordingKey = "damaged"
	s.entry, _, err = s.archive.Keep(t.Context(), &archive.Intake{Recording: r, Audio: kept, Added: time.Now(), Accepted: "better than none"})
	must(t, err)
	w := httptest.NewRecorder()
	sent, err := s.send(w, httptest.NewRequest("GET", "/", nil), delivery.Delivery{Format: delivery.WAV})
	if !errors.Is(err, callvault.NotFound) || !strings.Contains(err.Error(), "checksum") || strings.Contains(err.Error(), "send") || sent+s.used() != 0 {
		t.Errorf("as WAV: %d bytes, %v", sent, err)
	}
	if sent, err := s.send(w, httptest.NewRequest("GET", "/", nil), delivery.Delivery{Format: delivery.Opus}); err != nil || sent != int64(len(damaged)) {
		t.Errorf("as it is: %d bytes, %v", sent, err)
	}
}

func TestInline(t *testing.T) {
	s := newShelf(t)
	key := s.entry.Recording.RecordingKey
	for want, d := range map[string]delivery.Delivery{
		`attachment; filename="` + key + `.opus"`: {Format: delivery.Opus},
		`attachment; filename="` + key + `.wav"`:  {Format: delivery.WAV},
		`inline; filename="` + key + `.opus"`:     {Format: delivery.Opus, Inline: true},
	} {
		w := httptest.NewRecorder()
		_, err := s.send(w, httptest.NewRequest("GET", "/", nil), d)
		must(t, err)
		if got := w.Header().Get("Content-Disposition"); got != want {
			t.Errorf("%s, inline %v: %s; want %s", d.Format, d.Inline, got, want)
		}
	}
}

func TestRefusedBeforeAnythingIsSent(t *testing.T) {
	s := newShelf(t)
	limit := int64(len(s.clip))
	s.tenant.EgressOverride = &limit
	r := httptest.NewRequest("GET", "/", nil)
	_, err := s.send(httptest.NewRecorder(), r, delivery.Delivery{Format: delivery.Opus})
	must(t, err)
	w := httptest.NewRecorder()
	sent, err := s.send(w, r, delivery.Delivery{Format: delivery.Opus})
	var wait callvault.Wait
	if !errors.As(err, &wait) || wait.Code != callvault.BandwidthExceeded || wait.For <= 0 {
		t.Errorf("beyond the limit: %v", err)
	}
	if sent != 0 || w.Body.Len() != 0 || s.used() != limit {
		t.Errorf("beyond the limit: %d bytes told, %d sent, %d charged in all", sent, w.Body.Len(), s.used())
	}
}

// socket is a ResponseWriter with ReadFrom.
type socket struct {
	*httptest.ResponseRecorder
	took io.Reader
}

func (s *socket) ReadFrom(src io.Reader) (int64, error) {
	s.took = src
	return io.Copy(s.ResponseRecorder, src)
}

// TestFileReachesTheSocket shows that sendfile is possible: what reaches the socket is
// the file itself, in an io.LimitedReader.
func TestFileReachesTheSocket(t *testing.T) {
	s := newShelf(t)
	w := &socket{ResponseRecorder: httptest.NewRecorder()}
	_, err := s.send(w, httptest.NewRequest("GET", "/", nil), delivery.Delivery{Format: delivery.Opus})
	must(t, err)
	limited, ok := w.took.(*io.LimitedReader)
	if !ok {
		t.Fatalf("the socket was handed a %T", w.took)
	}
	if _, ok := limited.R.(interface{ Fd() uintptr }); !ok {
		t.Errorf("the socket was handed a bounded %T, not a file", limited.R)
	}
	if !bytes.Equal(w.Body.Bytes(), s.clip) {
		t.Error("other bytes arrived")
	}
}

func TestRequestedFormat(t *testing.T) {
	for query, want := range map[string]delivery.Format{"": "opus", "?a=1": "opus", "?format=opus": "opus", "?format=wav": "wav"} {
		got, err := delivery.RequestedFormat(httptest.NewRequest("GET", "/"+query, nil))
		if got != want || err != nil {
			t.Errorf("%q: %q, %v", query, got, err)
		}
	}
	for _, query := range []string{"?format=mp3", "?format=", "?format=wav&format=wav", "?format=%zz"} {
		_, err := delivery.RequestedFormat(httptest.NewRequest("GET", "/"+query, nil))
		if !errors.Is(err, callvault.InvalidParameter) {
			t.Errorf("%q: %v", query, err)
		}
	}
}
