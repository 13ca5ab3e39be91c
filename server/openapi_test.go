package server_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"callvault"

	"github.com/pb33f/libopenapi-validator/schema_validation"
	specbase "github.com/pb33f/libopenapi/datamodel/high/base"
)

const specBase = "/rest/api/v2/"

// specExempt is what is described but cannot be produced here, with the reason. So far
// everything can.
var specExempt = map[string]string{}

// TestOpenAPI compares the published description with the service. It produces every
// status of every operation; the request and the response must be as described, to the
// last header and field.
func TestOpenAPI(t *testing.T) {
	service := openSpecService(t)
	spec := openSpecification(t, service.description(t))
	for _, steps := range [][]specStep{
		service.uploadSteps(t), service.listSteps(t), service.audioSteps(t), service.conditionSteps(), service.limitSteps(),
		service.operationSteps(), service.unknownSteps(), service.endingSteps(t), service.faultSteps(t),
	} {
		service.run(t, spec, steps)
	}
	spec.checkSeen(t, specExempt)
}

// specBoth turns each step into one with GET and one with HEAD.
func specBoth(steps ...specStep) []specStep {
	var out []specStep
	for _, step := range steps {
		step.method = http.MethodGet
		out = append(out, step)
		step.method, step.after, step.differs = http.MethodHead, nil, "" // there is no body to look at
		out = append(out, step)
	}
	return out
}

// specList is the path of a list of the day that an instant lies in.
func specList(list string, ms int64, more ...string) string {
	day := time.UnixMilli(ms).UTC().Truncate(24 * time.Hour)
	query := url.Values{"startTime": {day.Format(time.RFC3339)}, "endTime": {day.AddDate(0, 0, 1).Format("20060102T1504-07")}}
	for pair := range slices.Chunk(more, 2) {
		query.Del(pair[0])
		if pair[1] != "" {
			query[pair[0]] = strings.Split(pair[1], ",")
		}
	}
	return specBase + list + "?" + query.Encode()
}

func specAudio(r *callvault.Recording) string {
	return specBase + "recordings/" + url.PathEscape(r.TenantName) + "/" + url.PathEscape(r.RecordingKey) + "/audio"
}

func (s *specService) uploadSteps(t *testing.T) []specStep {
	home := s.items[0]
	other, text := home, home
	other.Audio = s.items[1].Audio
	text.Recording.RecordingKey, text.Audio = "text", []byte("this is not audio")
	changed := s.waiting
	changed.Recording.TagData = "Training"
	large, nowhere := home, home
	large.Audio = bytes.Repeat([]byte("OggS"), specMaxUpload/4)
	nowhere.Recording.TenantName, nowhere.Call.TenantName = "nowhere", "nowhere"
	elsewhere := s.items[1]

	steps := []specStep{
		s.take(t, "new", home, 201), s.take(t, "again", home, 200),
		s.take(t, "of the paced tenant", s.items[1], 201), s.take(t, "of the spent tenant", s.items[2], 201),
		s.take(t, "without audio", s.waiting, 201), s.take(t, "changed without audio", changed, 200),
		s.take(t, "other audio", other, 409), s.take(t, "not audio", text, 422), s.take(t, "too large", large, 413),
		s.take(t, "no such tenant", nowhere, 404),
		specPost(t, "audio missing", specHome, 400, "recording", `{"startTime":1}`),
		specPost(t, "wrong call", specHome, 400, "recording", `{"startTime":1,"callKey":"a","status":"PENDING"}`, "call", `{"callKey":"b"}`),
	}
	wrong := []specStep{
		specPost(t, "recording missing", specHome, 400, "call", `{}`),
		specPost(t, "unknown part", specHome, 400, "recording", `{"startTime":1}`, "other", "1"),
		specPost(t, "wrong type", specHome, 400, "recording", `{"startTime":"now"}`),
		specPost(t, "no start", specHome, 400, "recording", `{}`),
		specPost(t, "unknown status", specHome, 400, "recording", `{"startTime":1,"status":"GONE"}`),
	}
	for i := range wrong {
		wrong[i].wrong = true
	}
	plain := s.take(t, "not multipart", home, 415)
	plain.header, plain.wrong = []string{"Content-Type", "application/json"}, true
	noKey, reader, tenant := s.take(t, "no key", home, 401), s.take(t, "may only read", home, 403), s.take(t, "other tenant", elsewhere, 403)
	noKey.user, noKey.wrong, reader.user, tenant.user = "", true, "home", "writer"
	return slices.Concat(steps, wrong, []specStep{plain, noKey, reader, tenant})
}

func (s *specService) listSteps(t *testing.T) []specStep {
	at := s.items[0].Recording.StartTime
	var steps []specStep
	for _, list := range []string{"recordings", "call-recording-info"} {
		path := specList(list, at)
		steps = append(steps, specBoth(
			specStep{name: list, user: "all", path: path, status: 200, after: specHasRows},
			specStep{name: "of tenants", user: "home", path: specList(list, at, "tenantName", specHome), status: 200, after: specHasRows},
			specStep{name: "of two tenants", user: "all", path: specList(list, at, "tenantName", specHome+","+specPaced), status: 200},
			specStep{name: "empty", user: "all", path: specList(list, at-1e12), status: 200},
			specStep{name: "empty lines", user: "all", path: specList(list, at-1e12), header: []string{"Accept", "application/x-ndjson"}, status: 200},
			specStep{name: "lines", user: "all", path: path, header: []string{"Accept", "application/x-ndjson"}, status: 200},
			specStep{name: "gzip", user: "all", path: path, header: []string{"Accept-Encoding", "gzip"}, status: 200},
			specStep{name: "zstd", user: "all", path: path, header: []string{"Accept-Encoding", "gzip, zstd"}, status: 200},
			specStep{name: "no start", user: "all", path: specList(list, at, "startTime", ""), status: 400, wrong: true},
			specStep{name: "no offset", user: "all", path: specList(list, at, "endTime", "2026-02-01T00:00:00"), status: 400, wrong: true},
			specStep{name: "ends early", user: "all", path: specList(list, at, "endTime", "2001-01-01T00:00Z"), status: 400},
			specStep{name: "no key", path: path, status: 401, wrong: true},
			specStep{name: "not a reader", user: "writer", path: path, status: 403},
			specStep{name: "other tenant", user: "home", path: specList(list, at, "tenantName", specPaced), status: 403},
			specStep{name: "no such tenant", user: "all", path: specList(list, at, "tenantName", "nowhere"), status: 404},
		)...)
	}
	return steps
}

// specHasRows fails for an empty list, in which nothing could be wrong.
func specHasRows(t *testing.T, x *specExchange) {
	var rows []json.RawMessage
	if err := json.Unmarshal(x.received, &rows); err != nil || len(rows) == 0 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
}

func (s *specService) audioSteps(t *testing.T) []specStep {
	item := &s.items[0]
	path := specAudio(&item.Recording)
	key := func(key string) string {
		return specAudio(&callvault.Recording{TenantName: specHome, RecordingKey: key})
	}
	nowhere := specAudio(&callvault.Recording{TenantName: "nowhere", RecordingKey: "x"})
	waiting := specAudio(&s.waiting.Recording)
	return append(specBoth(
		specStep{name: "opus", user: "home", path: path + "?format=opus", status: 200, after: func(t *testing.T, x *specExchange) {
			sum := sha256.Sum256(item.Audio)
			if digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"; x.response.Header.Get("Repr-Digest") != digest {
				t.Errorf("digest %s, want %s", x.response.Header.Get("Repr-Digest"), digest)
			}
			if !bytes.Equal(x.received, item.Audio) || int64(len(x.received)) != item.Recording.Size {
				t.Errorf("%d bytes, which are not the %d taken in", len(x.received), item.Recording.Size)
			}
		}},
		specStep{name: "wav", user: "home", path: path + "?format=wav", status: 200},
		specStep{name: "mp3", user: "home", path: path + "?format=mp3", status: 400, wrong: true},
		specStep{name: "long key", user: "home", path: key(strings.Repeat("k", 256)), status: 400, wrong: true},
		specStep{name: "control character", user: "home", path: key("a\tb"), status: 400, wrong: true},
		specStep{name: "no key", path: path, status: 401, wrong: true},
		specStep{name: "unknown tenant", user: "home", path: nowhere, status: 403},
		specStep{name: "other agent", user: "spencer", path: path, status: 403},
		specStep{name: "no such tenant", user: "all", path: nowhere, status: 404},
		specStep{name: "no such recording", user: "home", path: key("none such"), status: 404},
		specStep{name: "not there yet", user: "home", path: waiting, status: 404},
	), append(s.completeSteps(t), s.elsewhereStep(path))...)
}

// elsewhereStep asks for audio of the service that redirects to a store.
func (s *specService) elsewhereStep(path string) specStep {
	return specStep{name: "elsewhere", user: "home", path: path, status: 307,
		linking: true, after: func(t *testing.T, x *specExchange) {
			if at := x.response.Header.Get("Location"); !strings.HasPrefix(at, "https://store.example/"+specHome) || len(x.received) > 0 {
				t.Errorf("sent to %q with %d bytes", at, len(x.received))
			}
		}}
}

// completeSteps upload the audio of the recording without audio, and ask for it.
func (s *specService) completeSteps(t *testing.T) []specStep {
	whole := s.waiting
	whole.Recording.Status, whole.Audio = callvault.Saved, s.items[0].Audio
	return []specStep{
		s.take(t, "completed", whole, 201),
		{name: "completed", user: "home", path: specAudio(&s.waiting.Recording), status: 200},
	}
}

func (s *specService) conditionSteps() []specStep {
	path := specAudio(&s.items[0].Recording)
	sum := sha256.Sum256(s.items[0].Audio)
	tag := `"` + hex.EncodeToString(sum[:]) + `"`
	get := func(name string, status int, header ...string) specStep {
		return specStep{name: name, user: "home", path: path, header: header, status: status}
	}
	wav := get("part of wav", 206, "Range", "bytes=10-19")
	wav.path += "?format=wav"
	ignored := get("range of HEAD", 200, "Range", "bytes=10-19")
	ignored.method, ignored.wrong = http.MethodHead, true
	return append(specBoth(
		get("same", 304, "If-None-Match", tag), get("not since", 304, "If-Modified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)),
		get("other", 200, "If-None-Match", `"other"`), get("same as hoped", 200, "If-Match", tag),
		get("other than hoped", 412, "If-Match", `"other"`), get("changed since", 412, "If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT"),
	),
		get("part", 206, "Range", "bytes=10-19"), get("parts", 206, "Range", "bytes=0-1,10-19"),
		get("rest of the same", 206, "Range", "bytes=10-", "If-Range", tag), get("rest of another", 200, "Range", "bytes=10-", "If-Range", `"other"`),
		get("other unit", 200, "Range", "items=0-1"), get("last 0", 416, "Range", "bytes=-0"),
		get("beyond", 416, "Range", "bytes=99999999-"), get("malformed", 416, "Range", "bytes=b-a"),
		wav, ignored)
}

// limitSteps use up the limits of the paced tenant, the paced user and the spent tenant.
// Three requests pass, the next ones do not.
func (s *specService) limitSteps() []specStep {
	paced, spent := specAudio(&s.items[1].Recording), specAudio(&s.items[2].Recording)
	list := specList("recordings", s.items[0].Recording.StartTime)
	calls := specList("call-recording-info", s.items[0].Recording.StartTime)
	none := specAudio(&callvault.Recording{TenantName: specPaced, RecordingKey: "none"})
	steps := []specStep{
		{name: "first", user: "home", path: list, status: 200},
		{name: "first", user: "all", path: paced, status: 200}, {name: "second", user: "all", path: paced, header: []string{"Range", "bytes=5-6"}, status: 206},
		{name: "third", user: "all", path: none, status: 404},
		{name: "first", user: "paced", path: list, status: 200}, {name: "second", user: "paced", path: calls, status: 200},
		{name: "third", user: "paced", path: calls, method: http.MethodHead, status: 200},
	}
	for i := range steps {
		counted := i > 0
		steps[i].after = func(t *testing.T, x *specExchange) {
			if got := x.response.Header.Get("RateLimit") != "" && x.response.Header.Get("RateLimit-Policy") != ""; got != counted {
				t.Errorf("has the RateLimit headers: %v, want %v", got, counted)
			}
		}
	}
	steps = append(steps, specBoth(
		specStep{name: "audio too often", user: "all", path: paced, status: 429},
		specStep{name: "list too often", user: "all", path: list + "&tenantName=" + specPaced, status: 429},
		specStep{name: "list too often", user: "paced", path: list, status: 429},
		specStep{name: "calls too often", user: "paced", path: calls, status: 429},
	)...)
	return append(steps,
		specStep{name: "spent", user: "all", path: spent, status: 509},
		specStep{name: "spent", user: "all", path: spent, header: []string{"Range", "bytes=10-19"}, status: 509},
		specStep{name: "spent", user: "all", path: spent + "?format=wav", status: 509},
		specStep{name: "spent", user: "all", path: spent, method: http.MethodHead, status: 200},
		specStep{name: "spent", user: "all", path: spent, header: []string{"If-None-Match", "*"}, status: 304},
	)
}

func (s *specService) operationSteps() []specStep {
	protobuf := "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
	return specBoth(
		specStep{name: "health", path: "/healthz", status: 200},
		specStep{name: "readiness", path: "/readyz", status: 200},
		specStep{name: "description", path: "/openapi.json", status: 200},
		specStep{name: "metrics", user: "all", path: "/metrics", status: 200},
		specStep{name: "metrics", user: "all", path: "/metrics", header: []string{"Accept-Encoding", "gzip"}, status: 200},
		specStep{name: "metrics", user: "all", path: "/metrics", header: []string{"Accept", protobuf}, status: 200},
		specStep{name: "metrics without a key", path: "/metrics", status: 401, wrong: true},
		specStep{name: "metrics for a reader", user: "home", path: "/metrics", status: 403},
	)
}

// unknownSteps ask for paths and methods that are not described.
func (s *specService) unknownSteps() []specStep {
	steps := specBoth(
		specStep{name: "nothing", path: "/nothing", status: 404, wrong: true},
		specStep{name: "root", path: "/", status: 404, wrong: true},
		specStep{name: "base", path: specBase, status: 404, wrong: true},
		specStep{name: "no tenant", path: specBase + "recordings/", status: 404, wrong: true},
		specStep{name: "no audio", path: specBase + "recordings/acme-ns/key", status: 404, wrong: true},
		specStep{name: "upload", user: "all", path: specBase + "recordings/acme-ns", status: 405, wrong: true},
	)
	for _, path := range []string{
		specBase + "recordings", specBase + "call-recording-info", specBase + "recordings/acme-ns", specAudio(&s.items[0].Recording),
		"/healthz", "/readyz", "/openapi.json", "/metrics",
	} {
		for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodOptions} {
			steps = append(steps, specStep{name: path, user: "all", method: method, path: path, status: 405, wrong: true})
		}
	}
	return steps
}

// endingSteps ask a service that cancels its requests, and one that is about to stop.
func (s *specService) endingSteps(t *testing.T) []specStep {
	at := s.items[0].Recording.StartTime
	steps := specBoth(
		specStep{name: "recordings", user: "all", path: specList("recordings", at), status: 503, ending: true},
		specStep{name: "calls", user: "all", path: specList("call-recording-info", at), status: 503, ending: true},
		specStep{name: "audio", user: "all", path: specAudio(&s.items[0].Recording), status: 503, ending: true},
		specStep{name: "metrics", user: "all", path: "/metrics", status: 503, ending: true},
		specStep{name: "stopping", path: "/readyz", status: 503, before: func(*testing.T) { s.server.Stopping() }},
	)
	upload := s.take(t, "upload", s.items[0], 503)
	upload.ending = true
	return append(steps, upload)
}

// faultSteps ask a service with a full disk, a truncated file, a list that cannot be
// read, and in the end a database without accounts.
func (s *specService) faultSteps(t *testing.T) []specStep {
	at := s.items[0].Recording.StartTime
	another := s.items[0]
	another.Recording.RecordingKey = "another"
	full := s.take(t, "full disk", another, 507)
	full.before = func(*testing.T) { s.full.Store(true) }
	full.after = func(*testing.T, *specExchange) { s.full.Store(false) }
	audio := specStep{name: "cut file", user: "home", path: specAudio(&s.items[0].Recording), status: 500, before: s.cutFile}
	steps := append([]specStep{full}, specBoth(audio)...)
	noRows := specStep{name: "no table", user: "all", path: specList("recordings", at), status: 500,
		before: func(t *testing.T) { s.alter(t, "ALTER TABLE recordings RENAME TO gone") }}
	steps = append(steps, noRows)
	all := specBoth(
		specStep{name: "recordings", user: "all", path: specList("recordings", at), status: 500},
		specStep{name: "calls", user: "all", path: specList("call-recording-info", at), status: 500},
		specStep{name: "metrics", user: "all", path: "/metrics", status: 500},
	)
	all[0].before = func(t *testing.T) { s.alter(t, "DROP TABLE account_revision") }
	return append(append(steps, all...), s.take(t, "upload", another, 500))
}

// cutFile truncates the file of the home tenant's recording.
func (s *specService) cutFile(t *testing.T) {
	err := filepath.WalkDir(s.audio, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Name() == s.items[0].Recording.RecordingKey+".opus" {
			err = os.Truncate(path, s.items[0].Recording.Size-1)
		}
		return err
	})
	specMust(t, err)
}

// TestOpenAPICatches compares altered responses with the description: each alteration
// must be found.
func TestOpenAPICatches(t *testing.T) {
	service := openSpecService(t)
	spec := openSpecification(t, service.description(t))
	service.run(t, spec, service.uploadSteps(t)[:1])
	list := specStep{user: "all", method: http.MethodGet, path: specList("recordings", service.items[0].Recording.StartTime)}
	replace := func(old, text string) func(*specExchange) {
		return func(x *specExchange) { x.received = bytes.Replace(x.received, []byte(old), []byte(text), 1) }
	}
	header := func(name, value string) func(*specExchange) {
		return func(x *specExchange) { x.response.Header.Set(name, value) }
	}
	for name, tamper := range map[string]func(*specExchange){
		"status":         func(x *specExchange) { x.response.StatusCode = 204 },
		"header":         header("Server", "x"),
		"header's value": header("X-Request-Id", "x"),
		"header missing": func(x *specExchange) { x.response.Header.Del("Vary") },
		"media type":     header("Content-Type", "text/html"),
		"coding":         header("Content-Encoding", "gzip"),
		"field":          replace(`"agent"`, `"more":1,"agent"`),
		"field missing":  replace(`"eventId"`, `"other"`),
		"field's type":   replace(`"duration":`, `"duration":0.5`),
		"null":           replace(`"status":"SAVED"`, `"status":null`),
		"not an array":   func(x *specExchange) { x.received = bytes.Trim(x.received, "[]") },
	} {
		x := service.send(t, &list)
		if faults := spec.checkResponse(x); len(faults) > 0 {
			t.Fatal(faults)
		}
		tamper(x)
		if len(spec.checkResponse(x)) == 0 {
			t.Errorf("%s: not found out", name)
		}
	}
}

// TestOpenAPIExamples checks the description's examples against its schemas.
func TestOpenAPIExamples(t *testing.T) {
	spec := openSpecification(t, openSpecService(t).description(t))
	checker, checked := schema_validation.NewSchemaValidator(), 0
	check := func(where string, schema *specbase.Schema, example interface{ Decode(any) error }) {
		checked++
		var value any
		specMust(t, example.Decode(&value))
		if _, faults := checker.ValidateSchemaObjectWithVersion(schema, value, 3.1); len(faults) > 0 {
			t.Errorf("%s: %s", where, strings.Join(specFaults(faults), "\n"))
		}
	}
	for name, schema := range spec.model.Components.Schemas.FromOldest() {
		for _, example := range schema.Schema().Examples {
			check(name, schema.Schema(), example)
		}
	}
	for name, response := range spec.model.Components.Responses.FromOldest() {
		if response.Content == nil {
			continue
		}
		for _, media := range response.Content.FromOldest() {
			for _, example := range media.Examples.FromOldest() {
				check(name, media.Schema.Schema(), example.Value)
			}
		}
	}
	for name, parameter := range spec.model.Components.Parameters.FromOldest() {
		if parameter.Example != nil {
			check(name, parameter.Schema.Schema(), parameter.Example)
		}
	}
	if checked < 20 {
		t.Errorf("only %d examples", checked)
	}
}

// TestOpenAPITimes compares the description's pattern of a time with what the service
// accepts.
func TestOpenAPITimes(t *testing.T) {
	spec := openSpecification(t, openSpecService(t).description(t))
	pattern := regexp.MustCompile(spec.model.Components.Schemas.GetOrZero("Time").Schema().Pattern)
	for _, text := range []string{
		"2022-09-10T23:59:59.000-06:00", "2022-09-10T23:59:59.000-06:00 ", " 2022-09-10T23:59Z", "2022-09-10t23:59:59z",
		"20220910T235959.5+0530", "20220910T2359-06", "2022-09-10T235959,123456789Z", "20220910T23:59:59-00:00",
		"2022-09-10T23:59:59 06:00", "2022-09-10T23:59:59.1 06:00", "2022-09-10T23:59:59+23:59", "\t2022-09-10T00:00Z\n",
		"2022-09-10T23:59:59", "2022-09-10", "2022-09-10 23:59:59Z", "2022-09-10T24:00:00Z", "2022-09-10T23:59:60Z", "2022-09-10T23:60Z",
		"2022-09-10T23:59:59+24:00", "2022-09-10T23:59:59+5", "2022-09-10T23:59:59.Z", "2022-09-10T23:59.5Z", "2022-09-10T23Z",
		"2022-09-10T23:59:59 0600", "22-09-10T23:59:59Z", "1662875999000", "", " ", "2022-09-10T2359:59Z", "2022-09-10T23:5959Z",
		"2022-09-10T23:59:59 +06:00", "2022-09-10T23:59:59+06:00:00", "2022-09-10T23:59:59+060", "2022-09-10T23:59:59 24:00",
	} {
		_, err := callvault.ParseTime(text)
		if described := pattern.MatchString(text); described != (err == nil) {
			t.Errorf("%q: described %v, read %v", text, described, err)
		}
	}
}
