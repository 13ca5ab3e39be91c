package collect_test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault"
	"callvault/archive/archivetest"
)

// sourceKey is the key of the sources of these tests.
const sourceKey = "cv_secret-of-the-source"

// recording is a recording of a hostile source, and how it answers for it: with fault, so
// many times, then with its audio.
type recording struct {
	callvault.Recording
	well  callvault.Recording // as it is listed once the source is healed
	audio []byte
	where string // its call's location
	fault string
	times int // -1 means always
	asked int
}

// source speaks the recordings API, lies, stalls, and enforces strict limits: three requests
// in 10 s to a tenant, whatever comes of them, and a cap on audio bytes.
type source struct {
	mu         sync.Mutex
	recordings []*recording
	noCalls    bool   // call-recording-info answers 404
	wrapped    string // the field in which a list stands
	listFault  func(span callvault.Span, n int) *answer
	extra      []string // further items of every list, as JSON

	unlimited  bool
	cap        map[string]int64
	retryAfter bool // 509 says when room frees
	revoked    bool

	window     map[string][]time.Time
	sent       map[string][]sending
	closed     map[string]time.Time
	violations []string
	lists      []callvault.Span
	audio      int
	bytes      int64
}

type sending struct {
	at    time.Time
	bytes int64
}

func newSource() *source {
	return &source{cap: map[string]int64{}, window: map[string][]time.Time{}, sent: map[string][]sending{}, closed: map[string]time.Time{}}
}

// add adds a good recording that started at some time.
func (s *source) add(tenant, key string, start time.Time) *recording {
	length := time.Duration(2+len(s.recordings)%3) * time.Second
	audio := archivetest.Opus(len(s.recordings), length)
	r := &recording{audio: audio, Recording: callvault.Recording{
		RecordingKey: key, CallKey: "call-" + key, StartTime: start.UnixMilli(), Duration: length.Milliseconds(), Size: int64(len(audio)),
		Status: callvault.Saved, TenantName: tenant, Agent: "Ann(1)", CallDirection: "INBOUND",
	}}
	r.well = r.Recording
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recordings = append(s.recordings, r)
	return r
}

// heal makes the source answer correctly from now on.
func (s *source) heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.recordings {
		r.fault, r.Recording = "", r.well
	}
	s.listFault, s.extra = nil, nil
}

// counts returns how many requests were made since it was last called.
func (s *source) counts() (lists, audio int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	lists, audio = len(s.lists), s.audio
	s.lists, s.audio = nil, 0
	return lists, audio
}

func (s *source) check(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, v := range s.violations {
		if i == 5 {
			t.Errorf("and %d more", len(s.violations)-5)
			break
		}
		t.Error(v)
	}
}

// answer is the source's answer to a request; length is what it announces.
type answer struct {
	status int
	header http.Header
	body   []byte
	length int64
	cut    bool // the connection breaks after the body
	reset  bool // it breaks before anything is said
	stall  bool // nothing is said for ever
}

func say(status int, body string) *answer {
	return &answer{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: []byte(body), length: int64(len(body))}
}

func (a *answer) with(name, value string) *answer {
	a.header.Set(name, value)
	return a
}

func refusal(code callvault.Code) *answer {
	return say(int(code), fmt.Sprintf(`{"code":%q,"message":"no"}`, code.Name()))
}

// answer answers a request.
func (s *source) answer(r *http.Request) *answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+sourceKey || s.revoked {
		return refusal(callvault.Unauthorized)
	}
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/rest/api/v2/")
	if !ok {
		return refusal(callvault.NotFound)
	}
	if path == "recordings" || path == "call-recording-info" {
		return s.list(path, r.URL.Query())
	}
	parts := strings.Split(path, "/")
	if len(parts) != 4 || parts[3] != "audio" {
		return refusal(callvault.NotFound)
	}
	tenant, _ := url.PathUnescape(parts[1])
	key, _ := url.PathUnescape(parts[2])
	return s.fetch(tenant, key)
}

// passes counts a request against the strict window of a subject.
func (s *source) passes(subject string) bool {
	if s.unlimited {
		return true
	}
	now := time.Now()
	last := slices.DeleteFunc(s.window[subject], func(at time.Time) bool { return now.Sub(at) >= 10*time.Second })
	s.window[subject] = append(last, now)
	if len(last) >= 3 {
		s.violations = append(s.violations, fmt.Sprintf("request %d in 10 s to %s at %s", len(last)+1, subject, now.UTC().Format(time.TimeOnly)))
		return false
	}
	return true
}

func (s *source) tenants() map[string]bool {
	names := map[string]bool{}
	for _, r := range s.recordings {
		names[r.TenantName] = true
	}
	return names
}

func (s *source) list(path string, query url.Values) *answer {
	from, err := callvault.ParseTime(query.Get("startTime"))
	to, err2 := callvault.ParseTime(query.Get("endTime"))
	if err != nil || err2 != nil {
		return refusal(callvault.InvalidParameter)
	}
	span := callvault.Span{From: from, To: to}
	s.lists = append(s.lists, span)
	subject := "the lists"
	if names := s.tenants(); len(names) == 1 {
		for subject = range names {
		}
	}
	if !s.passes(subject) {
		return refusal(callvault.TooManyRequests)
	}
	if s.noCalls && path != "recordings" {
		return refusal(callvault.NotFound)
	}
	if s.listFault != nil {
		if a := s.listFault(span, len(s.lists)); a != nil {
			return a
		}
	}
	items := slices.Clone(s.extra)
	slices.SortStableFunc(s.recordings, func(a, b *recording) int {
		return cmp.Or(cmp.Compare(a.StartTime, b.StartTime), cmp.Compare(a.RecordingKey, b.RecordingKey))
	})
	for _, r := range s.recordings {
		if !span.Contains(r.StartTime) {
			continue
		}
		if path == "recordings" {
			items = append(items, string(r.AppendJSON(nil)))
			continue
		}
		call := callvault.Call{CallID: r.CallKey, CallKey: r.CallKey, StartTime: r.StartTime, EndTime: r.StartTime + r.Duration,
			Location: r.where, TenantName: r.TenantName, Recordings: []callvault.Recording{r.Recording}}
		items = append(items, string(call.AppendJSON(nil)))
	}
	body := "[" + strings.Join(items, ",") + "]"
	if s.wrapped != "" {
		body = fmt.Sprintf(`{"page":1,%q:%s}`, s.wrapped, body)
	}
	return say(200, body)
}

func (s *source) fetch(tenant, key string) *answer {
	s.audio++
	if until, closed := s.closed[tenant]; closed && time.Now().Before(until) {
		s.violations = append(s.violations, fmt.Sprintf("%s was asked for audio at %v though it is closed until %v", tenant, time.Now().UTC(), until.UTC()))
	}
	if !s.passes(tenant) {
		return refusal(callvault.TooManyRequests)
	}
	at := slices.IndexFunc(s.recordings, func(r *recording) bool { return r.TenantName == tenant && r.RecordingKey == key })
	if at < 0 {
		return refusal(callvault.NotFound)
	}
	r := s.recordings[at]
	r.asked++
	if r.fault != "" && (r.times < 0 || r.asked <= r.times) {
		return s.faulty(r)
	}
	return s.serve(r)
}

// serve sends audio while the tenant's cap leaves room.
func (s *source) serve(r *recording) *answer {
	if limit, capped := s.cap[r.TenantName]; capped {
		now := time.Now()
		sent := slices.DeleteFunc(s.sent[r.TenantName], func(x sending) bool { return now.Sub(x.at) >= callvault.EgressWindow })
		used := int64(0)
		for _, x := range sent {
			used += x.bytes
		}
		if used+int64(len(r.audio)) > limit {
			a := refusal(callvault.BandwidthExceeded)
			if s.retryAfter {
				opens := sent[0].at.Add(callvault.EgressWindow)
				s.closed[r.TenantName] = opens
				a.with("Retry-After", fmt.Sprint(int64(opens.Sub(now)/time.Second)+1))
			}
			return a
		}
		s.sent[r.TenantName] = append(sent, sending{now, int64(len(r.audio))})
	}
	s.bytes += int64(len(r.audio))
	return audioAnswer(r.audio)
}

func audioAnswer(body []byte) *answer {
	return &answer{status: 200, header: http.Header{"Content-Type": {"audio/ogg; codecs=opus"}, "Set-Cookie": {"session=" + sourceKey}}, body: body, length: int64(len(body))}
}
