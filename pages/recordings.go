package pages

var recordingRoutes = []route{
	{path: "/recordings", name: "recordings", who: visitor, get: (*Pages).showRecordings},
}

func (p *Pages) showRecordings(x *exchange) error {
	return p.render(x, "recordings", view{Title: "Recordings", Here: "/recordings"})
}
