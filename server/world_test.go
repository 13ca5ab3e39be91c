package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"callvault"
	"callvault/account"
	"callvault/archive"
	"callvault/archive/disk"
	"callvault/database"
	"callvault/database/databasetest"
	"callvault/meter"
	"callvault/sample"
	"callvault/server"

	_ "modernc.org/sqlite"
)

const api = "/rest/api/v2/"

// world is a service over a database and a folder of its own.
type world struct {
	t        testing.TB
	db       *database.DB
	accounts *account.Accounts
	meter    *meter.Memory
	archive  *archive.Archive
	server   *server.Server
	log      *syncBuffer

	once sync.Once
	http *httptest.Server
	keys map[string]string // of users, by name
}

// syncBuffer is a log that is read while it is written.
type syncBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// newWorld returns a service with the tenants acme-ns and beta-co, without request
// limits, and the user robot, who may read and write both. blobs, if given, wraps the
// archive's folder.
func newWorld(t testing.TB, blobs ...func(archive.Blobs) archive.Blobs) *world {
	t.Helper()
	dir := t.TempDir()
	db, err := database.Open(context.Background(), databasetest.Place(filepath.Join(dir, "callvault.db")))
	must(t, err)
	store, err := disk.Open(filepath.Join(dir, "audio"))
	must(t, err)
	t.Cleanup(func() { store.Close(); db.Close() })
	var kept archive.Blobs = store
	for _, wrap := range blobs {
		kept = wrap(kept)
	}
	w := &world{t: t, db: db, accounts: account.New(db), log: &syncBuffer{}, keys: map[string]string{}}
	w.archive, err = archive.New(context.Background(), db, kept)
	must(t, err)
	w.meter, err = meter.Open(context.Background(), db)
	must(t, err)
	w.server = server.New(server.Config{
		Accounts: w.accounts, Meter: w.meter, Archive: w.archive, MaxUpload: 4 << 20,
		Log: slog.New(slog.NewJSONHandler(w.log, nil)), DiskFree: store.Free, Version: "test",
	})
	w.tenant(callvault.Tenant{Name: "acme-ns"})
	w.tenant(callvault.Tenant{Name: "beta-co"})
	w.user("robot", callvault.Grant{Tenants: []string{"acme-ns", "beta-co"}}, callvault.Read, callvault.Write)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) tenant(tenant callvault.Tenant) {
	w.t.Helper()
	must(w.t, w.accounts.AddTenant(context.Background(), tenant, time.Now()))
}

func (w *world) setTenant(name string, edit func(*callvault.Tenant)) {
	w.t.Helper()
	must(w.t, w.accounts.SetTenant(context.Background(), name, func(t *callvault.Tenant) error {
		edit(t)
		return nil
	}))
}

// user adds a user without a request limit, and remembers the key.
func (w *world) user(name string, grant callvault.Grant, can ...callvault.Capability) (key string) {
	w.t.Helper()
	key, err := w.accounts.AddUser(context.Background(),
		callvault.ServiceUser{Name: name, Grant: grant, Can: can, Enabled: true}, time.Now())
	must(w.t, err)
	w.keys[name] = key
	return key
}

func (w *world) setUser(name string, edit func(*callvault.ServiceUser)) {
	w.t.Helper()
	must(w.t, w.accounts.SetUser(context.Background(), name, func(u *callvault.ServiceUser) error {
		edit(u)
		return nil
	}))
}

// url returns the address of the service, and starts it the first time.
func (w *world) url() string {
	w.once.Do(func() {
		w.http = httptest.NewUnstartedServer(nil)
		w.http.Config = server.HTTP(w.server, slog.New(slog.DiscardHandler))
		listener, err := server.Listen(context.Background(), "127.0.0.1:0")
		must(w.t, err)
		w.http.Listener.Close()
		w.http.Listener = listener
		w.http.Start()
		w.t.Cleanup(w.http.Close)
	})
	return w.http.URL
}

// reply is a whole answer.
type reply struct {
	*http.Response
	body []byte
}

func (w *world) request(method, path string, header ...string) *http.Request {
	w.t.Helper()
	r, err := http.NewRequest(method, w.url()+path, nil)
	must(w.t, err)
	setHeaders(r, w.keys["robot"], header)
	return r
}

// setHeaders sets headers given as name, value, name, value…; the user's key too
// unless Authorization is among them.
func setHeaders(r *http.Request, key string, header []string) {
	r.Header.Set("Authorization", "Bearer "+key)
	r.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(header); i += 2 {
		r.Header.Del(header[i])
		if header[i+1] != "" {
			r.Header[http.CanonicalHeaderKey(header[i])] = []string{header[i+1]}
		}
	}
}

// do sends a request of robot's over the network.
func (w *world) do(method, path string, header ...string) reply {
	w.t.Helper()
	return w.send(w.request(method, path, header...))
}

func (w *world) send(r *http.Request) reply {
	w.t.Helper()
	answer, err := w.http.Client().Do(r)
	must(w.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(w.t, err)
	return reply{answer, body}
}

func (w *world) get(path string, header ...string) reply {
	w.t.Helper()
	return w.do(http.MethodGet, path, header...)
}

// as returns the Authorization header of a user other than robot.
func (w *world) as(name string) []string {
	return []string{"Authorization", "Bearer " + w.keys[name]}
}

// direct passes a user's request to the handler, without a network.
func (w *world) direct(method, path, user string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	setHeaders(r, w.keys[user], header)
	recorder := httptest.NewRecorder()
	w.server.ServeHTTP(recorder, r)
	return recorder
}

// wantError fails unless a response is this error, in the API's form. It returns the
// message.
func wantError(t testing.TB, what string, got reply, status int, code string) string {
	t.Helper()
	var body map[string]any
	err := json.Unmarshal(got.body, &body)
	if got.StatusCode != status || err != nil || body["code"] != code {
		t.Errorf("%s: got %d %.300s, want %d %s", what, got.StatusCode, got.body, status, code)
		return ""
	}
	text, _ := body["message"].(string)
	if len(text) < 20 || strings.Contains(text, code) || strings.Contains(text, "\n") {
		t.Errorf("%s: the message %q is not a sentence for people", what, text)
	}
	if got.Header.Get("Content-Type") != "application/json" || got.Header.Get("X-Request-Id") == "" {
		t.Errorf("%s: headers %v", what, got.Header)
	}
	if status == 401 && got.Header.Get("WWW-Authenticate") != "Bearer" {
		t.Errorf("%s: 401 without WWW-Authenticate", what)
	}
	if after, err := strconv.Atoi(got.Header.Get("Retry-After")); (status == 429 || status == 503 || status == 509) && (err != nil || after < 1) {
		t.Errorf("%s: Retry-After %q", what, got.Header.Get("Retry-After"))
	}
	return text
}

// clips are the audio of the sample calls, without duplicates.
var clips = sync.OnceValue(func() [][]byte {
	var all [][]byte
	for item := range sample.Month(time.Date(2024, 2, 13, 0, 0, 0, 0, time.UTC)) {
		same := func(clip []byte) bool { return bytes.Equal(clip, item.Audio) }
		if item.Audio != nil && !slices.ContainsFunc(all, same) {
			all = append(all, item.Audio)
		}
	}
	return all
})

const startMs = 1707770449131

// recording is a recording of acme-ns that starts so many milliseconds after the
// first.
func recording(key string, after int64) callvault.Recording {
	return callvault.Recording{
		RecordingKey: key, CallKey: "call-of-" + key, StartTime: startMs + after, Duration: 1000,
		Status: callvault.Saved, TenantName: "acme-ns", CallDirection: "INBOUND",
		CallingParty: "18885553794", ReceivingParty: "Spencer Porter(253)", Skill: "CC Sales", Agent: "Spencer Porter(253)",
	}
}

// keep puts a recording into the archive, with audio where its status has some.
func (w *world) keep(r callvault.Recording, clip ...[]byte) *archive.Entry {
	w.t.Helper()
	in := &archive.Intake{Recording: r, Source: "test", Added: time.Now()}
	if r.Status.HasAudio() {
		spool, err := w.archive.NewSpool()
		must(w.t, err)
		_, err = spool.Write(append(clip, clips()[0])[0])
		must(w.t, err)
		in.Audio, err = spool.Finish()
		must(w.t, err)
		in.UploadSHA256 = in.Audio.SHA256
	}
	entry, _, err := w.archive.Keep(context.Background(), in)
	must(w.t, err)
	return entry
}

func audioPath(tenant, key string) string {
	return api + "recordings/" + url.PathEscape(tenant) + "/" + url.PathEscape(key) + "/audio"
}

const (
	day    = "startTime=2024-02-12T00:00:00Z&endTime=2024-02-13T00:00:00Z"
	list   = api + "recordings?" + day
	calls  = api + "call-recording-info?" + day
	decade = "startTime=2020-01-01T00:00:00Z&endTime=2030-01-01T00:00:00Z"
)

// rows reads a list of recordings.
func rows(t testing.TB, got reply) []callvault.Recording {
	t.Helper()
	var list []callvault.Recording
	if err := json.Unmarshal(got.body, &list); err != nil || got.StatusCode != 200 || list == nil {
		t.Fatalf("not a list: %d %.300s %v", got.StatusCode, got.body, err)
	}
	return list
}

// keysOf are the recording keys of a list, in its order.
func keysOf(t testing.TB, got reply) string {
	t.Helper()
	var keys []string
	for _, r := range rows(t, got) {
		keys = append(keys, r.RecordingKey)
	}
	return strings.Join(keys, " ")
}

// part is a part of an upload.
type part struct {
	name    string
	content []byte
}

func jsonPart(name string, value any) part {
	content, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return part{name, content}
}

// multipartBody is the body of an upload and its type.
func multipartBody(parts ...part) (body []byte, contentType string) {
	var buffer bytes.Buffer
	form := multipart.NewWriter(&buffer)
	for _, p := range parts {
		to, err := form.CreateFormFile(p.name, p.name)
		if err == nil {
			_, err = to.Write(p.content)
		}
		if err != nil {
			panic(err)
		}
	}
	form.Close()
	return buffer.Bytes(), form.FormDataContentType()
}

// post uploads to a tenant as a user.
func (w *world) post(tenant, user string, parts ...part) reply {
	w.t.Helper()
	body, contentType := multipartBody(parts...)
	r, err := http.NewRequest(http.MethodPost, w.url()+api+"recordings/"+url.PathEscape(tenant), bytes.NewReader(body))
	must(w.t, err)
	setHeaders(r, w.keys[user], []string{"Content-Type", contentType})
	return w.send(r)
}
