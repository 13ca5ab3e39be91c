package sample

// The directions of a call, as the API writes them.
const (
	inbound  = "INBOUND"
	outbound = "OUTBOUND"
	internal = "INTERNAL"
)

// site describes an imaginary tenant.
type site struct {
	name, title, zone string
	seed              uint64 // of its random generator; another seed makes another month
	base              int64  // added to its identifiers, to set them apart from those of other sites
	number, callerID  string // its own, as others see them
	open, close       int    // hours of its local day
	weekday, weekend  int    // calls on a weekday, give or take one; at most on a weekend day
	agents            []agent
	scripts           []script
	places            []place
}

// agent is somebody who is recorded. The name includes the extension, as the API writes
// it. The voices of a dialogue fit the agents who have its skill.
type agent struct {
	name   string
	skills []string
}

// script is a kind of call: its parts are recorded one after the other, each with
// another agent. In an internal call, to is the skill of the called agent.
type script struct {
	direction string
	parts     []part
	to        string
}

// part is a dialogue, by the name of its file in speech, of an agent with the skill.
type part struct{ skill, speech string }

// place is where other parties call from. A toll-free number has no city.
type place struct{ area, city string }

// tags are the tag data of recordings. Common ones are repeated, to be picked more often.
var tags = []string{"", "", "", "", "Default", "Default", "Default", "Training", "Escalation", "Quality"}

var sites = []site{acme, dunmarrow, kestrelby}

var acme = site{
	name: "acme-ns", title: "Acme Northside Office Supply", zone: "America/Denver", seed: 1, base: 1207,
	number: "7755550110", callerID: "ACME NORTHSIDE",
	open: 8, close: 17, weekday: 4, weekend: 1,
	agents: []agent{
		{"Spencer Porter(253)", []string{"CC Sales"}},
		{"Toby Lindvall(255)", []string{"CC Sales"}},
		{"Kelly Jaques(256)", []string{"CC Support"}},
		{"Marisol Tebbe(258)", []string{"CC Support", "CC Spanish"}},
		{"Inés Quirol(259)", []string{"CC Spanish"}},
		{"Owen Harkwell(261)", []string{"CC Billing"}},
		{"Jude Parrow(262)", []string{"CC Billing"}},
		{"Walt Brannick(270)", []string{"Warehouse"}},
	},
	scripts: []script{
		{direction: inbound, parts: []part{{"CC Support", "01-order-status"}}},
		{direction: inbound, parts: []part{{"CC Sales", "02-new-order"}}},
		{direction: inbound, parts: []part{{"CC Billing", "04-invoice-question"}}},
		{direction: inbound, parts: []part{{"CC Sales", "03-wrong-department"}, {"CC Billing", "04-invoice-question"}}},
		{direction: inbound, parts: []part{{"CC Spanish", "05-pedido"}}},
		{direction: outbound, parts: []part{{"CC Sales", "06-quote-call-back"}}},
		{direction: internal, parts: []part{{"CC Support", "07-stock-check"}}, to: "Warehouse"},
	},
	places: []place{
		{"775", "Reno, NV"}, {"208", "Boise, ID"}, {"801", "Ogden, UT"}, {"307", "Casper, WY"},
		{"970", "Grand Junction, CO"}, {"888", ""},
	},
}

var dunmarrow = site{
	name: "dunmarrow-dental", title: "Dunmarrow Dental Group", zone: "America/New_York", seed: 2, base: 20411,
	number: "5185550191", callerID: "DUNMARROW DENTL",
	open: 8, close: 18, weekday: 4, weekend: 1,
	agents: []agent{
		{"Paige Hollorin(101)", []string{"Front Desk"}},
		{"Nadia Verrin(102)", []string{"Front Desk"}},
		{"Tessa Okombe(104)", []string{"Appointments", "Recall"}},
		{"Bridget Fallow(105)", []string{"Appointments", "Recall"}},
		{"Marcus Elwyng(107)", []string{"Insurance"}},
		{"Gwen Tarrow(110)", []string{"Urgent Care"}},
		{"Elliot Snaith(112)", []string{"Clinic"}},
	},
	scripts: []script{
		{direction: inbound, parts: []part{{"Appointments", "08-new-patient"}}},
		{direction: inbound, parts: []part{
			{"Front Desk", "09-front-desk"}, {"Insurance", "10-insurance-plan"}, {"Appointments", "08-new-patient"},
		}},
		{direction: outbound, parts: []part{{"Recall", "11-reminder-voicemail"}}},
		{direction: inbound, parts: []part{{"Urgent Care", "12-toothache"}}},
		{direction: internal, parts: []part{{"Clinic", "13-lab-case"}}, to: "Front Desk"},
		{direction: inbound, parts: []part{{"Front Desk", "14-wrong-number"}}},
	},
	places: []place{
		{"518", "Albany, NY"}, {"518", "Troy, NY"}, {"413", "Pittsfield, MA"}, {"802", "Bennington, VT"},
	},
}

var kestrelby = site{
	name: "kestrelby-freight", title: "Kestrelby Freight", zone: "America/Chicago", seed: 3, base: 8846,
	number: "4025550130", callerID: "KESTRELBY FRGHT",
	open: 6, close: 19, weekday: 3, weekend: 2,
	agents: []agent{
		{"Joan Amberleigh(3001)", []string{"Switchboard"}},
		{"Carla Vossen(3002)", []string{"Switchboard"}},
		{"Reed Tannahall(3010)", []string{"Claims"}},
		{"Victor Ploss(3011)", []string{"Claims"}},
		{"Hank Dorrity(3020)", []string{"Dispatch"}},
		{"Leon Baskerel(3021)", []string{"Dispatch"}},
		{"Sam Wexcombe(3022)", []string{"Dispatch"}},
		{"Ruth Pendlay(3030)", []string{"Receivables"}},
		{"Iris Callowen(3031)", []string{"Receivables"}},
	},
	scripts: []script{
		{direction: inbound, parts: []part{{"Switchboard", "15-switchboard"}, {"Claims", "16-damage-claim"}}},
		{direction: inbound, parts: []part{{"Claims", "16-damage-claim"}}},
		{direction: inbound, parts: []part{{"Dispatch", "17-driver-check-in"}}},
		{direction: outbound, parts: []part{{"Dispatch", "18-late-delivery"}}},
		{direction: outbound, parts: []part{{"Receivables", "19-overdue-invoice"}}},
		{direction: internal, parts: []part{{"Dispatch", "20-dock-plan"}}, to: "Switchboard"},
	},
	places: []place{
		{"402", "Omaha, NE"}, {"785", "Topeka, KS"}, {"806", "Amarillo, TX"}, {"417", "Joplin, MO"},
		{"605", "Sioux Falls, SD"}, {"877", ""},
	},
}
