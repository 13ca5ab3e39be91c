package pages

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"callvault"
)

var tenantRoutes = []route{
	{path: "/admin/tenants", name: "tenants", who: admin, get: (*Pages).showTenants, post: (*Pages).addTenant},
	{path: "/admin/tenants/{tenant}", name: "tenant", who: admin, get: (*Pages).showTenant, post: (*Pages).setTenant},
	{path: "/admin/tenants/{tenant}/reset", name: "reset usage", who: admin, get: (*Pages).askReset, post: (*Pages).resetUsage},
}

// tenantForm holds a tenant's settings as typed into a form.
type tenantForm struct {
	Name, Title, TimeZone, Agents string
	RequestLimit                  bool
	Egress                        string // auto, off or own
	EgressBytes                   string // used if Egress is own
	Was                           string // the fingerprint of the settings that the form was made from
	Fault                         string
}

func newTenantForm(t *callvault.Tenant) tenantForm {
	f := tenantForm{Name: t.Name, Title: t.Title, TimeZone: t.TimeZone, RequestLimit: t.RequestLimit, Egress: "auto", Was: fingerprint(t)}
	if t.Agents != nil {
		f.Agents = strconv.FormatInt(*t.Agents, 10)
	}
	if t.EgressOverride != nil {
		f.Egress, f.EgressBytes = "own", strconv.FormatInt(*t.EgressOverride, 10)
	}
	if t.EgressOff {
		f.Egress = "off"
	}
	return f
}

// readTenantForm reads the settings from a form that was sent.
func readTenantForm(values url.Values) tenantForm {
	text := func(name string) string { return strings.TrimSpace(values.Get(name)) }
	return tenantForm{
		Name: text("name"), Title: text("title"), TimeZone: text("time-zone"), Agents: text("agents"),
		RequestLimit: values.Has("request-limit"), Egress: text("egress"), EgressBytes: text("egress-bytes"), Was: text("was"),
	}
}

// apply changes a tenant as the form says.
func (f *tenantForm) apply(t *callvault.Tenant) (err error) {
	t.Title, t.TimeZone, t.RequestLimit = f.Title, f.TimeZone, f.RequestLimit
	t.EgressOff, t.EgressOverride = f.Egress == "off", nil
	if t.Agents, err = optionalNumber("number of agents", f.Agents); err != nil {
		return err
	}
	if f.Egress == "own" {
		if f.EgressBytes == "" {
			return fmt.Errorf("enter the egress limit in bytes: %w", callvault.InvalidParameter)
		}
		t.EgressOverride, err = optionalNumber("egress limit", f.EgressBytes)
	}
	return err
}

func optionalNumber(what, text string) (*int64, error) {
	if text == "" {
		return nil, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("the %s %.40q is not a whole number: %w", what, text, callvault.InvalidParameter)
	}
	return &n, nil
}

// tenantsView is what the page of all tenants shows.
type tenantsView struct {
	Tenants part[callvault.Tenant]
	New     tenantForm
	Done    string
}

func (p *Pages) showTenants(x *exchange) error {
	fresh := tenantForm{RequestLimit: true, Egress: "auto"}
	return p.renderTenants(x, http.StatusOK, fresh)
}

func (p *Pages) renderTenants(x *exchange, status int, fresh tenantForm) error {
	tenants, err := p.Accounts.Tenants(x.ctx())
	if err != nil {
		return err
	}
	return p.renderStatus(x, status, "tenants", view{
		Title: "Tenants", Here: "/admin/tenants", Data: tenantsView{partOf(x, "after", tenants, tenantTexts), fresh, x.done()},
	})
}

func (p *Pages) addTenant(x *exchange) error {
	if err := x.r.ParseForm(); err != nil {
		return badForm(err)
	}
	form := readTenantForm(x.r.PostForm)
	tenant := callvault.Tenant{Name: form.Name}
	err := form.apply(&tenant)
	if err == nil {
		err = p.Accounts.AddTenant(x.ctx(), tenant, x.now)
	}
	if fault, status := formFault(err); fault != "" {
		x.err, form.Fault = err, fault
		return p.renderTenants(x, status, form)
	}
	if err != nil {
		return err
	}
	return x.redirect("/admin/tenants?done=tenant-added")
}

// tenantView is what the page of one tenant shows.
type tenantView struct {
	Form   tenantForm
	Tenant *callvault.Tenant
	Done   string
}

func (p *Pages) showTenant(x *exchange) error {
	tenant, err := p.Accounts.Tenant(x.ctx(), x.pathValue("tenant"))
	if err != nil {
		return err
	}
	return p.renderTenant(x, http.StatusOK, tenant, newTenantForm(tenant))
}

func (p *Pages) renderTenant(x *exchange, status int, tenant *callvault.Tenant, form tenantForm) error {
	return p.renderStatus(x, status, "tenant", view{
		Title: "Tenant " + shorten(tenant.Name, 80), Here: "/admin/tenants", Data: tenantView{form, tenant, x.done()},
	})
}

func (p *Pages) setTenant(x *exchange) error {
	name := x.pathValue("tenant")
	tenant, err := p.Accounts.Tenant(x.ctx(), name)
	if err != nil {
		return err
	}
	if err := x.r.ParseForm(); err != nil {
		return badForm(err)
	}
	form := readTenantForm(x.r.PostForm)
	err = p.Accounts.SetTenant(x.ctx(), name, func(t *callvault.Tenant) error {
		if form.Was != fingerprint(t) {
			return errChangedMeanwhile
		}
		return form.apply(t)
	})
	if fault, status := formFault(err); fault != "" {
		x.err, form.Fault = err, fault
		return p.renderTenant(x, status, tenant, form)
	}
	if err != nil {
		return err
	}
	return x.redirect("/admin/tenants/" + pathName(name) + "?done=saved")
}

func (p *Pages) askReset(x *exchange) error {
	tenant, err := p.Accounts.Tenant(x.ctx(), x.pathValue("tenant"))
	if err != nil {
		return err
	}
	name := shorten(tenant.Name, 80)
	return p.render(x, "confirm", view{Title: "Reset usage", Here: "/admin/tenants", Data: question{
		Head: "Reset the usage of " + name + "?",
		Text: "What was sent in the last five days no longer counts, so the whole limit is free again at once. The recordings stay.",
		Yes:  "Reset usage", Back: "/admin/tenants/" + pathName(tenant.Name),
		Was: strconv.FormatInt(tenant.UsageEpoch, 10),
	}})
}

func (p *Pages) resetUsage(x *exchange) error {
	name := x.pathValue("tenant")
	tenant, err := p.Accounts.Tenant(x.ctx(), name)
	if err != nil {
		return err
	}
	if x.r.PostFormValue("was") != strconv.FormatInt(tenant.UsageEpoch, 10) {
		return fmt.Errorf("the usage was already reset: %w", callvault.Conflict)
	}
	if err := p.Accounts.ResetUsage(x.ctx(), name); err != nil {
		return err
	}
	return x.redirect("/admin/tenants/" + pathName(name) + "?done=reset")
}

var errChangedMeanwhile = fmt.Errorf(
	"it was changed while the form was open, in another tab or by someone else; reload the page and make your change again: %w", callvault.Conflict)

// formFault returns the sentence and the status for a form that cannot be accepted, or
// "" if err is not one that the sender can correct in the form.
func formFault(err error) (fault string, status int) {
	if errors.Is(err, callvault.InvalidParameter) || errors.Is(err, callvault.Conflict) {
		return sentence(err), int(codeOf(err))
	}
	if errors.Is(err, callvault.NotFound) { // something that the form names: the page's own address was found
		return sentence(err), http.StatusBadRequest
	}
	return "", 0
}
