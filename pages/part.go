package pages

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"

	"callvault"
)

// rowsAtOnce is how many rows a page shows of a list that is in the order of names;
// listPage is how many recordings, or entries of the audit trail: two screens of them, for
// each more makes the first paint a millisecond later. fewTenants is of how many tenants
// some are chosen with a click: of more they are typed.
const (
	rowsAtOnce = 60
	listPage   = 30
	fewTenants = 60
)

// part is what a page shows of a list that may be long.
type part[T any] struct {
	Rows        []T
	First, Next string // addresses of other pages of the list; "" for none
	Find        string // what the names shown hold; "" for all
	Long        bool   // there is more than one page of it
}

// partOf is the part of a list that the address asks for: of those of which a text
// holds what the parameter find says, in whatever case, the next after the name that
// the parameter after says. The first text of each is its name.
func partOf[T any](x *exchange, after string, list []T, texts func(*T) []string) part[T] {
	name := func(one T) string { return texts(&one)[0] }
	query := x.r.URL.Query()
	p := part[T]{Find: finding(x), Long: len(list) > rowsAtOnce}
	list = slices.DeleteFunc(slices.Clone(list), func(one T) bool { return !holds(texts(&one), p.Find) })
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	if last := query.Get(after); last != "" {
		p.First = elsewhere(x, query, after, "")
		at, there := slices.BinarySearchFunc(list, last, func(one T, last string) int { return cmp.Compare(name(one), last) })
		if there {
			at++
		}
		list = list[at:]
	}
	if len(list) > rowsAtOnce {
		list = list[:rowsAtOnce]
		p.Next = elsewhere(x, query, after, name(list[rowsAtOnce-1]))
	}
	p.Rows = list
	return p
}

// finding is what the address looks for in names.
func finding(x *exchange) string { return strings.TrimSpace(x.r.URL.Query().Get("find")) }

// holds tells whether one of the texts holds what is looked for.
func holds(texts []string, find string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(text), strings.ToLower(find))
	})
}

// elsewhere is the address of another page of a list: the present one, of that query,
// with another value of the parameter after.
func elsewhere(x *exchange, query url.Values, after, value string) string {
	query = maps.Clone(query)
	query.Del("done")
	query.Del(after)
	if value != "" {
		query.Set(after, value)
	}
	if len(query) == 0 {
		return x.r.URL.EscapedPath()
	}
	return x.r.URL.EscapedPath() + "?" + query.Encode()
}

// few are the tenants, where they are few enough to be chosen with a click.
func few(tenants []callvault.Tenant) []callvault.Tenant {
	if len(tenants) > fewTenants {
		return nil
	}
	return tenants
}

// textsOf are the texts by which a tenant is found.
func textsOf(t *callvault.Tenant) []string { return []string{t.Name, t.Title} }
