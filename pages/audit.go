package pages

var auditRoutes = []route{
	{path: "/audit", name: "audit", who: admin, get: (*Pages).showAudit},
}

func (p *Pages) showAudit(x *exchange) error {
	return p.render(x, "audit", view{Title: "Audit trail", Here: "/audit"})
}
