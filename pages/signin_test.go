package pages_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"callvault"
)

// session returns the session cookie of an answer.
func (a answer) session(t *testing.T) *http.Cookie {
	t.Helper()
	for _, cookie := range (&http.Response{Header: a.header}).Cookies() {
		if strings.HasSuffix(cookie.Name, "callvault") {
			return cookie
		}
	}
	t.Fatalf("no session cookie in %v", a.header)
	return nil
}

func TestSignInByKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.addUser("robot", callvault.Read)
	r := w.newReader()
	r.post("/sign-in", "key", "cvk_wrong", "to", "/usage").want(t, "a wrong key", 401, "not an authentication key", `value="/usage"`)
	got := r.post("/sign-in", "key", " "+key+"\n", "to", "/usage?days=3")
	got.want(t, "the key", 303)
	if to := got.header.Get("Location"); to != "/usage?days=3" {
		t.Errorf("it leads to %q", to)
	}
	cookie := got.session(t)
	if cookie.Name != "callvault" || !cookie.HttpOnly || cookie.Secure || cookie.SameSite != http.SameSiteLaxMode ||
		cookie.MaxAge != 12*3600 || cookie.Path != "/" || cookie.Value == key {
		t.Errorf("cookie %+v", cookie)
	}
	r.get("/usage").want(t, "signed in", 200, "robot")
	if _, err := w.accounts.RefreshUser(t.Context(), "robot", time.Now()); err != nil {
		t.Fatal(err)
	}
	ended := r.get("/usage")
	ended.want(t, "after a refresh", 303)
	if to := ended.header.Get("Location"); !strings.Contains(to, "why=ended") || !strings.Contains(to, "to=%2Fusage") {
		t.Errorf("it leads to %q", to)
	}
	if ended.session(t).MaxAge >= 0 {
		t.Error("the cookie stays")
	}
}

func TestCookieUnderTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.addUser("robot", callvault.Read)
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X-Forwarded-Proto": {"https"}}
	got := w.newReader().send("POST", "/sign-in", header, strings.NewReader(url.Values{"key": {key}}.Encode()))
	got.want(t, "behind a proxy with TLS", 303)
	if cookie := got.session(t); cookie.Name != "__Host-callvault" || !cookie.Secure || cookie.Domain != "" || cookie.Path != "/" {
		t.Errorf("cookie %+v", cookie)
	}
}

// TestNoOpenRedirect asks to be sent to another site after signing in.
func TestNoOpenRedirect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := w.addUser("robot", callvault.Read)
	for to, want := range map[string]string{
		"https://evil.example/": "/", "//evil.example/recordings": "/", `/\evil.example`: "/", "javascript:alert(1)": "/",
		"/rest/api/v2/recordings": "/", "/sign-out": "/", "/welcome/x": "/", "/\t/evil.example": "/", "": "/", "recordings": "/",
		"/recordings?party=12&tenant=a%20b": "/recordings?party=12&tenant=a%20b", "/audit": "/audit",
	} {
		got := w.newReader().post("/sign-in", "key", key, "to", to)
		got.want(t, to, 303)
		if got := got.header.Get("Location"); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
}

// TestPersonFromLinkToSignOut is a person's first day: the link, the password,
// the sign-out, the sign-in.
func TestPersonFromLinkToSignOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	person := callvault.Person{Name: "Kelly Jaques", Grant: callvault.Grant{AllTenants: true}, Can: []callvault.Capability{callvault.Listen}, Enabled: true}
	ticket, err := w.accounts.AddPerson(t.Context(), person, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r, path := w.newReader(), "/welcome/"+ticket
	for range 2 {
		r.get(path).want(t, "looking at the link", 200, "Welcome, Kelly Jaques", "Choose a password")
	}
	r.post(path, "password", "short", "again", "short").want(t, "a short password", 400, "12 characters")
	r.post(path, "password", "four words that fit", "again", "four words that fits").want(t, "a slip", 400, "differ")
	r.post(path, "password", "four words that fit", "again", "four words that fit").want(t, "a password", 303)
	r.get("/usage").want(t, "signed in", 200, "Kelly Jaques")
	if again := r.get(path); again.status != 303 || again.header.Get("Location") != "/" {
		t.Errorf("the link again, signed in: %d %v", again.status, again.header)
	}
	r.post("/sign-out").want(t, "signing out", 303)
	r.get("/usage").want(t, "signed out", 303)
	r.get(path).want(t, "the link again", 404, "link is not valid")
	r.post("/sign-in", "name", "Kelly Jaques", "password", "wrong wrong wrong").want(t, "a wrong password", 401, "The name or the password is wrong.", `value="Kelly Jaques"`)
	r.post("/sign-in", "name", "Kelly Jaques", "password", "four words that fit").want(t, "the password", 303)
	r.get("/usage").want(t, "signed in again", 200)
	if err := w.accounts.RemovePerson(t.Context(), "Kelly Jaques"); err != nil {
		t.Fatal(err)
	}
	ended := r.post("/sign-in", "to", "/usage", "name", "Kelly Jaques", "password", "four words that fit")
	ended.want(t, "removed", 401)
	r.get("/sign-in?why=ended&to=/usage").want(t, "the page that says so", 200, "Your session has ended", `value="/usage"`)
}

// TestPasswordIsSetWhileOthersGuess: a person who chooses a password while somebody is
// guessing it is told that it is set, although the sign-in that follows is refused.
func TestPasswordIsSetWhileOthersGuess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	person := callvault.Person{Name: "Kelly", Grant: callvault.Grant{AllTenants: true}, Can: []callvault.Capability{callvault.Listen}, Enabled: true}
	ticket, err := w.accounts.AddPerson(t.Context(), person, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	soon := time.Now().Add(time.Hour) // so that their wait is not over before the password is hashed
	for range 4 {
		if _, _, err := w.accounts.SignIn(t.Context(), "Kelly", "wrong wrong wrong", "192.0.2.1", soon); err == nil {
			t.Fatal("a wrong password signed in")
		}
	}
	r := w.newReader()
	chosen := r.post("/welcome/"+ticket, "password", "four words that fit", "again", "four words that fit")
	if to := chosen.header.Get("Location"); chosen.status != 303 || to != "/sign-in?why=set" {
		t.Fatalf("the password: %d, on to %q", chosen.status, to)
	}
	r.get("/sign-in?why=set").want(t, "the sign-in", 200, "Your password is set.")
}

// TestSignInLink is a link that signs in at once: once, and not for a browser
// that only prefetches.
func TestSignInLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := strings.TrimPrefix(w.addPerson("newcomer", callvault.Grant{AllTenants: true}, callvault.Listen), w.url)
	r := w.newReader()
	r.send("HEAD", path, nil, nil).want(t, "HEAD", 200)
	r.send("GET", path, http.Header{"Sec-Purpose": {"prefetch;prerender"}}, nil).want(t, "looking ahead", 200, "signs you in as")
	r.get(path).want(t, "following it", 303)
	r.get("/usage").want(t, "signed in", 200, "newcomer")
	w.newReader().get(path).want(t, "somebody else, later", 404)
	w.newReader().get("/welcome/cvt_nonsense").want(t, "nonsense", 404)
}

// TestGuessingIsSlowed guesses at a password until it is refused for a while.
func TestGuessingIsSlowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addPerson("Kelly", callvault.Grant{AllTenants: true}, callvault.Listen)
	var got answer
	for range 40 {
		if got = w.newReader().post("/sign-in", "name", "Kelly", "password", "guess after guess"); got.status == 429 {
			break
		}
	}
	got.want(t, "guessing", 429, "Sign in")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
