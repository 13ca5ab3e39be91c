package pages

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"callvault"
)

// handler answers an exchange, or returns an error, which fail turns into a page.
type handler func(p *Pages, x *exchange) error

// access says who may see a page.
type access int

const (
	anyone  access = iota // without signing in
	visitor               // anyone who is signed in
	admin                 // anyone with the capability admin
)

// route is a page: its path, as http.ServeMux reads it, and its handlers.
type route struct {
	path string
	// name is logged in place of the path, which may hold a secret.
	name string
	who  access
	get  handler // HEAD too
	post handler
	file bool // the browser saves the answer as a file and stays on the page before
}

// allRoutes returns the routes of all pages.
func allRoutes() []route {
	return slices.Concat(frameRoutes, signInRoutes, welcomeRoutes, recordingRoutes, completenessRoutes, usageRoutes,
		tenantRoutes, userRoutes, auditRoutes)
}

// frameRoutes are what all pages share.
var frameRoutes = []route{
	{path: "/{$}", name: "home", who: anyone, get: (*Pages).home},
	{path: "/alive", name: "alive", who: anyone, get: (*Pages).alive},
	{path: "/static/{hash}/{name}", name: "static", who: anyone, get: (*Pages).static},
	{path: "/favicon.ico", name: "static", who: anyone, get: (*Pages).favicon},
}

// home redirects to the first page that the visitor may see.
func (p *Pages) home(x *exchange) error {
	switch {
	case x.visitor == nil, x.visitor.May(callvault.Listen):
		return x.redirect("/recordings")
	case x.visitor.May(callvault.Admin):
		return x.redirect("/admin/tenants")
	}
	return x.redirect("/completeness")
}

// alive tells a page's script that the service is there, and who is signed in.
func (p *Pages) alive(x *exchange) error {
	if x.visitor != nil {
		x.out.Header().Set("X-Visitor", pathName(x.visitor.Name))
	}
	x.out.WriteHeader(http.StatusNoContent)
	return nil
}

// prefixes are the first elements of the paths that the pages answer.
var prefixes = []string{"sign-in", "sign-out", "welcome", "recordings", "completeness", "certificate", "usage", "admin", "audit",
	"static", "alive", "favicon.ico"}

// Serves reports whether the pages answer a path.
func (p *Pages) Serves(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return path == "/" || slices.Contains(prefixes, first)
}

// ServeHTTP answers one request.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := p.routes.Handler(r); pattern == "" {
		p.handler(noPage).ServeHTTP(w, r)
		return
	}
	p.routes.ServeHTTP(w, r)
}

// noPage is the route of all paths that have no page.
var noPage = route{name: "none", who: anyone, get: pageNotFound, post: pageNotFound}

func pageNotFound(*Pages, *exchange) error {
	return fmt.Errorf("there is no page at this address: %w", callvault.NotFound)
}

// handler makes an http.Handler of a route. What every page needs is done here.
func (p *Pages) handler(to route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := p.newExchange(w, r, to.name)
		defer p.finish(x)
		if err := p.answer(x, &to); err != nil {
			p.fail(x, err)
		}
	})
}

// answer finds out who asks, checks that they may, and calls the route's handler.
func (p *Pages) answer(x *exchange, to *route) error {
	do := to.get
	if x.r.Method == http.MethodPost {
		do = to.post
	}
	if do == nil || !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost}, x.r.Method) {
		x.out.Header().Set("Allow", to.methods())
		return fmt.Errorf("%s is not possible here: %w", x.r.Method, callvault.MethodNotAllowed)
	}
	if err := p.crossOrigin.Check(x.r); err != nil {
		return fmt.Errorf("the form was sent from another site, so nothing was done: %w", callvault.Forbidden)
	}
	if err := p.identify(x); err != nil {
		return err
	}
	if to.who != anyone && x.visitor == nil {
		return p.askToSignIn(x, to)
	}
	if err := p.allowance.take(x.subject(), x.now, to.name); err != nil {
		return err
	}
	if to.who == admin && !x.visitor.May(callvault.Admin) {
		return fmt.Errorf("this page is for administrators, and %s is not one: %w", x.visitor.Name, callvault.Forbidden)
	}
	x.r.Body = http.MaxBytesReader(x.out, x.r.Body, maxForm)
	return do(p, x)
}

// maxForm is the largest size of a form, in bytes.
const maxForm = 256 << 10

func (to *route) methods() string {
	var methods []string
	if to.get != nil {
		methods = append(methods, http.MethodGet, http.MethodHead)
	}
	if to.post != nil {
		methods = append(methods, http.MethodPost)
	}
	return strings.Join(methods, ", ")
}

// pathName escapes a name or a key as one element of a path. Browsers resolve "." and
// ".." in a path however they are escaped, so such a name is prefixed with "~", and so
// is one that itself begins with "~".
func pathName(name string) string {
	if name == "." || name == ".." || strings.HasPrefix(name, "~") {
		name = "~" + name
	}
	return url.PathEscape(name)
}

// pathValue returns the name that pathName wrote as that element of the request's path.
func (x *exchange) pathValue(element string) string {
	return strings.TrimPrefix(x.r.PathValue(element), "~")
}
