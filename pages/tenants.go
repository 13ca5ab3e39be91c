package pages

var tenantRoutes = []route{
	{path: "/admin/tenants", name: "tenants", who: admin, get: (*Pages).showTenants},
}

func (p *Pages) showTenants(x *exchange) error {
	return p.render(x, "tenants", view{Title: "Tenants", Here: "/admin/tenants"})
}
