package pages

var usageRoutes = []route{
	{path: "/usage", name: "usage", who: visitor, get: (*Pages).showUsage},
}

func (p *Pages) showUsage(x *exchange) error {
	return p.render(x, "usage", view{Title: "Usage", Here: "/usage"})
}
