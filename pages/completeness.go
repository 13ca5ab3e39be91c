package pages

var completenessRoutes = []route{
	{path: "/completeness", name: "completeness", who: visitor, get: (*Pages).showCompleteness},
}

func (p *Pages) showCompleteness(x *exchange) error {
	return p.render(x, "completeness", view{Title: "Completeness", Here: "/completeness"})
}
