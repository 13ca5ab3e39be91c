package server_test

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"callvault"
	"callvault/account"
	"callvault/archive"
	"callvault/archive/disk"
	"callvault/database"
	"callvault/meter"
	"callvault/sample"
	"callvault/server"

	_ "modernc.org/sqlite"
)

// specService is a whole service over a database and a folder of its own.
type specService struct {
	url     string // where it answers
	ending  string // where it answers requests whose context has ended, as in a stop
	linking string // where another service over the same archive redirects to audio
	server  *server.Server
	path    string // of the database
	audio   string // the folder
	full    *atomic.Bool
	client  *http.Transport
	keys    map[string]string // by user
	items   []sample.Item     // one of each tenant
	waiting sample.Item       // has no audio yet
}

// specDisk is a folder of blobs whose disk can be full.
type specDisk struct {
	*disk.Store
	full atomic.Bool
}

func (d *specDisk) Stage() (*os.File, error) {
	if d.full.Load() {
		return nil, &os.PathError{Op: "open", Path: "staging", Err: syscall.ENOSPC}
	}
	return d.Store.Stage()
}

// Link returns a URL like that of an object store.
func (d *specDisk) Link(_ context.Context, key string, _ time.Duration, _ map[string]string) (*url.URL, error) {
	return url.Parse("https://store.example/" + url.PathEscape(key))
}

// The tenants of the service.
const (
	specHome  = "acme-ns"           // has no request limit
	specPaced = "dunmarrow-dental"  // has the request limit
	specSpent = "kestrelby-freight" // has an egress limit of 0
)

// specMaxUpload is the maximum size of an upload here.
const specMaxUpload = 128 << 10

func openSpecService(t *testing.T) *specService {
	t.Helper()
	dir := t.TempDir()
	s := &specService{path: filepath.Join(dir, "callvault.db"), audio: filepath.Join(dir, "audio"), keys: map[string]string{}}
	s.client = &http.Transport{DisableCompression: true}
	t.Cleanup(s.client.CloseIdleConnections)
	db, err := database.Open(t.Context(), s.path)
	specMust(t, err)
	t.Cleanup(func() { _ = db.Close() })
	store, err := disk.Open(s.audio)
	specMust(t, err)
	t.Cleanup(func() { _ = store.Close() })
	blobs := &specDisk{Store: store}
	s.full = &blobs.full
	recordings, err := archive.New(t.Context(), db, blobs)
	specMust(t, err)
	limits, err := meter.Open(t.Context(), db)
	specMust(t, err)
	accounts := account.New(db)
	s.addAccounts(t, accounts)

	log := slog.New(slog.DiscardHandler)
	config := server.Config{
		Accounts: accounts, Meter: limits, Archive: recordings, Log: log,
		MaxUpload: specMaxUpload, DiskFree: func() (int64, error) { return 1 << 30, nil }, Version: "test",
	}
	s.server = server.New(config)
	config.Redirect = true
	s.linking = specListen(context.Background(), t, server.HTTP(server.New(config), log))
	ended, end := context.WithCancel(context.Background())
	end()
	s.url = specListen(context.Background(), t, server.HTTP(s.server, log))
	s.ending = specListen(ended, t, server.HTTP(s.server, log))
	s.chooseItems(t)
	return s
}

// specListen serves until the test ends; requests end with ctx.
func specListen(ctx context.Context, t *testing.T, config *http.Server) string {
	listening := httptest.NewUnstartedServer(nil)
	listening.Config = config
	listening.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	listening.Start()
	t.Cleanup(listening.Close)
	return listening.URL
}

func (s *specService) addAccounts(t *testing.T, accounts *account.Accounts) {
	t.Helper()
	for _, tenant := range sample.Tenants() {
		tenant.RequestLimit = tenant.Name == specPaced
		if tenant.Name == specSpent {
			tenant.EgressOverride = new(int64)
		}
		specMust(t, accounts.AddTenant(t.Context(), tenant, time.Now()))
	}
	all := callvault.Grant{AllTenants: true}
	home := callvault.Grant{Tenants: []string{specHome}}
	spencer := callvault.Grant{Tenants: []string{specHome}, Agents: []string{"Spencer Porter(253)"}}
	for _, user := range []callvault.ServiceUser{
		{Name: "all", Grant: all, Can: []callvault.Capability{callvault.Read, callvault.Write, callvault.Admin}},
		{Name: "paced", Grant: all, Can: []callvault.Capability{callvault.Read}, RequestLimit: true},
		{Name: "home", Grant: home, Can: []callvault.Capability{callvault.Read}},
		{Name: "spencer", Grant: spencer, Can: []callvault.Capability{callvault.Read}},
		{Name: "writer", Grant: home, Can: []callvault.Capability{callvault.Write}},
	} {
		user.Enabled = true
		key, err := accounts.AddUser(t.Context(), user, time.Now())
		specMust(t, err)
		s.keys[user.Name] = key
	}
}

// chooseItems picks a recording of each tenant, and for home not one of Spencer's.
func (s *specService) chooseItems(t *testing.T) {
	t.Helper()
	for _, tenant := range []string{specHome, specPaced, specSpent} {
		for item := range sample.Month(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)) {
			r := &item.Recording
			if r.TenantName == tenant && r.Status == callvault.Saved && r.Agent != "Spencer Porter(253)" {
				s.items = append(s.items, item)
				break
			}
		}
	}
	if len(s.items) != 3 {
		t.Fatalf("%d tenants have recordings", len(s.items))
	}
	s.waiting = s.items[0]
	s.waiting.Recording.RecordingKey, s.waiting.Recording.Status = "waiting & seeing", callvault.Pending
	s.waiting.Audio = nil
}

// alter runs SQL on the database behind the service's back.
func (s *specService) alter(t *testing.T, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.path+"?_pragma=busy_timeout(15000)")
	specMust(t, err)
	defer db.Close()
	_, err = db.ExecContext(t.Context(), statement)
	specMust(t, err)
}

// specStep is one request and the answer it should get.
type specStep struct {
	name   string
	user   string // whose key is sent; "" none
	method string // GET unless said otherwise
	path   string
	header []string // alternating names and values
	body   []byte
	status int
	// wrong says that the request itself is not as described, so that the description
	// must not allow it.
	wrong bool
	// differs says how the response is known to differ from the description.
	differs string
	// ending sends it to specService.ending.
	ending bool
	// linking sends it to specService.linking.
	linking bool
	before  func(t *testing.T)
	after   func(t *testing.T, x *specExchange)
}

// take returns a step that uploads an item.
func (s *specService) take(t *testing.T, name string, item sample.Item, status int) specStep {
	t.Helper()
	parts := []string{"call", string(item.Call.AppendJSON(nil)), "recording", string(item.Recording.AppendJSON(nil))}
	if item.Audio != nil {
		parts = append(parts, "audio", string(item.Audio))
	}
	return specPost(t, name, item.Recording.TenantName, status, parts...)
}

// specPost returns a step that posts a multipart body of these names and contents.
func specPost(t *testing.T, name, tenant string, status int, parts ...string) specStep {
	t.Helper()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	for part := range slices.Chunk(parts, 2) {
		header := textproto.MIMEHeader{}
		header.Set("Content-Disposition", `form-data; name="`+part[0]+`"`)
		header.Set("Content-Type", "application/json")
		if part[0] == "audio" {
			header.Set("Content-Disposition", `form-data; name="audio"; filename="a.opus"`)
			header.Set("Content-Type", "audio/ogg")
		}
		to, err := form.CreatePart(header)
		specMust(t, err)
		_, err = io.WriteString(to, part[1])
		specMust(t, err)
	}
	specMust(t, form.Close())
	return specStep{
		name: name, user: "all", method: http.MethodPost, path: "/rest/api/v2/recordings/" + url.PathEscape(tenant),
		header: []string{"Content-Type", form.FormDataContentType()}, body: body.Bytes(), status: status,
	}
}

// send sends the request of a step.
func (s *specService) send(t *testing.T, step *specStep) *specExchange {
	t.Helper()
	at := s.url
	if step.ending {
		at = s.ending
	}
	if step.linking {
		at = s.linking
	}
	request, err := http.NewRequestWithContext(t.Context(), step.method, at+step.path, bytes.NewReader(step.body))
	specMust(t, err)
	if step.user != "" {
		request.Header.Set("Authorization", "Bearer "+s.keys[step.user])
	}
	for pair := range slices.Chunk(step.header, 2) {
		request.Header.Set(pair[0], pair[1])
	}
	response, err := s.client.RoundTrip(request)
	specMust(t, err)
	defer response.Body.Close()
	received, err := io.ReadAll(response.Body)
	specMust(t, err)
	return &specExchange{request: request, sent: step.body, response: response, received: received}
}

// description returns the description that the service publishes.
func (s *specService) description(t *testing.T) []byte {
	t.Helper()
	return s.send(t, &specStep{method: http.MethodGet, path: "/openapi.json"}).received
}

// run takes the steps in order and compares each exchange with the description.
func (s *specService) run(t *testing.T, spec *specification, steps []specStep) {
	for _, step := range steps {
		if step.method == "" {
			step.method = http.MethodGet
		}
		t.Run(step.name+" "+strconv.Itoa(step.status)+" "+step.method, func(t *testing.T) {
			if step.before != nil {
				step.before(t)
			}
			x := s.send(t, &step)
			if x.response.StatusCode != step.status {
				t.Errorf("status %d, want %d: %.300s", x.response.StatusCode, step.status, x.received)
			}
			faults := spec.checkRequest(x)
			switch {
			case step.wrong && len(faults) == 0:
				t.Error("the description allows this request")
			case !step.wrong && len(faults) > 0:
				t.Errorf("request: %s", strings.Join(faults, "\n"))
			}
			faults = spec.checkResponse(x)
			if step.differs != "" {
				if len(faults) == 0 {
					t.Errorf("is as described now: %s", step.differs)
				}
				t.Skip(step.differs)
			}
			for _, fault := range faults {
				t.Errorf("response: %s\n%v\n%.300s", fault, x.response.Header, x.received)
			}
			if step.after != nil {
				step.after(t, x)
			}
		})
	}
}

func specMust(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
