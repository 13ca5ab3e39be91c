package pages

var userRoutes = []route{
	{path: "/admin/users", name: "users", who: admin, get: (*Pages).showUsers},
}

func (p *Pages) showUsers(x *exchange) error {
	return p.render(x, "users", view{Title: "People and service users", Here: "/admin/users"})
}
