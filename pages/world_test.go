package pages_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
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
	"callvault/pages"

	_ "modernc.org/sqlite"
)

// world is the pages over a real archive and database, served over HTTP.
type world struct {
	*testing.T
	dir      string // of the data
	db       *database.DB
	accounts *account.Accounts
	archive  *archive.Archive
	meter    *meter.Memory
	pages    *pages.Pages
	url      string
	log      *journal
}

// journal keeps what was logged.
type journal struct {
	mu   sync.Mutex
	text strings.Builder
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// newWorld returns a world with the tenant acme-ns. Each configure changes the config of
// the pages.
func newWorld(t *testing.T, configure ...func(*world, *pages.Config)) *world {
	t.Helper()
	dir := t.TempDir()
	db, err := database.Open(t.Context(), databasetest.Place(filepath.Join(dir, "callvault.db")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	blobs, err := disk.Open(filepath.Join(dir, "audio"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { blobs.Close() })
	w := &world{T: t, db: db, accounts: account.New(db), log: &journal{}, dir: dir}
	if w.archive, err = archive.New(t.Context(), db, blobs); err != nil {
		t.Fatal(err)
	}
	if w.meter, err = meter.Open(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	w.addTenant(callvault.Tenant{Name: "acme-ns", Title: "Acme North", TimeZone: "America/Denver", RequestLimit: true})
	config := pages.Config{Accounts: w.accounts, Meter: w.meter, Archive: w.archive, Version: "test",
		Log: slog.New(slog.NewJSONHandler(w.log, nil))}
	for _, change := range configure {
		change(w, &config)
	}
	if w.pages, err = pages.New(config); err != nil {
		t.Fatal(err)
	}
	service := httptest.NewServer(w.pages)
	t.Cleanup(service.Close)
	w.url = service.URL
	return w
}

func (w *world) addTenant(tenant callvault.Tenant) {
	w.Helper()
	if err := w.accounts.AddTenant(w.Context(), tenant, time.Now()); err != nil {
		w.Fatal(err)
	}
}

// limitEgress sets a tenant's egress limit, in bytes; nil lifts it.
func (w *world) limitEgress(tenant string, limit *int64) {
	w.Helper()
	err := w.accounts.SetTenant(w.Context(), tenant, func(t *callvault.Tenant) error { t.EgressOverride = limit; return nil })
	if err != nil {
		w.Fatal(err)
	}
}

// addPerson adds a person with a grant, and returns a link that signs them in.
func (w *world) addPerson(name string, grant callvault.Grant, can ...callvault.Capability) (link string) {
	w.Helper()
	person := callvault.Person{Name: name, Grant: grant, Can: can, Enabled: true}
	if _, err := w.accounts.AddPerson(w.Context(), person, time.Now()); err != nil {
		w.Fatal(err)
	}
	ticket, err := w.accounts.SignInTicket(w.Context(), name, time.Now())
	if err != nil {
		w.Fatal(err)
	}
	return w.url + "/welcome/" + ticket
}

// addUser adds a service user of all tenants and returns its key.
func (w *world) addUser(name string, can ...callvault.Capability) (key string) {
	w.Helper()
	user := callvault.ServiceUser{Name: name, Grant: callvault.Grant{AllTenants: true}, Can: can, Enabled: true}
	key, err := w.accounts.AddUser(w.Context(), user, time.Now())
	if err != nil {
		w.Fatal(err)
	}
	return key
}

// reader is a client with cookies, as a browser has them.
type reader struct {
	*world
	client *http.Client
}

// newReader returns a client that is not signed in. It does not follow redirects.
func (w *world) newReader() *reader {
	jar, _ := cookiejar.New(nil) // never fails
	return &reader{w, &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// signedIn returns a client signed in as a new person with all tenants.
func (w *world) signedIn(name string, can ...callvault.Capability) *reader {
	w.Helper()
	r := w.newReader()
	link := w.addPerson(name, callvault.Grant{AllTenants: true}, can...)
	if got := r.get(strings.TrimPrefix(link, w.url)); got.status != http.StatusSeeOther {
		w.Fatalf("the link of %s answers with %d %.300s", name, got.status, got.body)
	}
	return r
}

// answer is the response to a request.
type answer struct {
	status int
	header http.Header
	body   string
}

func (r *reader) get(path string) answer {
	r.Helper()
	return r.send(http.MethodGet, path, nil, nil)
}

// post sends a form with the names and values in pairs.
func (r *reader) post(path string, pairs ...string) answer {
	r.Helper()
	form := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		form.Add(pairs[i], pairs[i+1])
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	return r.send(http.MethodPost, path, header, strings.NewReader(form.Encode()))
}

func (r *reader) send(method, path string, header http.Header, body io.Reader) answer {
	r.Helper()
	request, err := http.NewRequestWithContext(context.Background(), method, r.url+path, body)
	if err != nil {
		r.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

// want checks the status of an answer and that its body contains the texts.
func (a answer) want(t *testing.T, what string, status int, texts ...string) {
	t.Helper()
	if a.status != status {
		t.Errorf("%s: status %d, want %d: %.600s", what, a.status, status, a.body)
	}
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("%s: %q is not in\n%.3000s", what, text, a.body)
		}
	}
}
