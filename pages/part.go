package pages

import (
	"cmp"
	"maps"
	"net/url"
	"slices"
	"strings"

	"callvault"
)

// rowsAtOnce is how many rows a page shows of a list sorted by name; listPage is how
// many recordings or audit entries: two screens of them, since each further one delays
// the first paint by a millisecond. Up to fewTenants tenants are offered for choosing
// with a click; beyond that, their names are typed.
const (
	rowsAtOnce = 60
	listPage   = 30
	fewTenants = 60
)

// part is the part of a list that one page shows.
type part[T any] struct {
	Rows        []T
	First, Next string // addresses of other pages of the list; "" for none
	Find        string // the text that the rows shown contain; "" for all rows
	Long        bool   // the whole list takes more than one page
}

// partOf returns the part of a list that the address asks for: of the items one of whose
// texts contains the parameter find, in any case, those that follow the name in the
// parameter that after names. The first text of an item is its name.
func partOf[T any](x *exchange, after string, list []T, texts func(*T) []string) part[T] {
	name := func(one T) string { return texts(&one)[0] }
	query := x.r.URL.Query()
	p := part[T]{Find: findText(x), Long: len(list) > rowsAtOnce}
	list = slices.DeleteFunc(slices.Clone(list), func(one T) bool { return !anyContains(texts(&one), p.Find) })
	slices.SortFunc(list, func(a, b T) int { return cmp.Compare(name(a), name(b)) })
	if last := query.Get(after); last != "" {
		p.First = otherPage(x, query, after, "")
		at, there := slices.BinarySearchFunc(list, last, func(one T, last string) int { return cmp.Compare(name(one), last) })
		if there {
			at++
		}
		list = list[at:]
	}
	if len(list) > rowsAtOnce {
		list = list[:rowsAtOnce]
		p.Next = otherPage(x, query, after, name(list[rowsAtOnce-1]))
	}
	p.Rows = list
	return p
}

// findText returns the text that the address asks to find.
func findText(x *exchange) string { return strings.TrimSpace(x.r.URL.Query().Get("find")) }

// anyContains reports whether one of the texts contains the text to find, in any case.
func anyContains(texts []string, find string) bool {
	return slices.ContainsFunc(texts, func(text string) bool {
		return strings.Contains(strings.ToLower(text), strings.ToLower(find))
	})
}

// otherPage returns the address of another page of a list: the path of the present one
// with the query, in which the parameter that after names gets another value.
func otherPage(x *exchange, query url.Values, after, value string) string {
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

// clickable returns the tenants if they are few enough to be chosen with a click, and
// otherwise none.
func clickable(tenants []callvault.Tenant) []callvault.Tenant {
	if len(tenants) > fewTenants {
		return nil
	}
	return tenants
}

// tenantTexts returns the texts by which a tenant is found.
func tenantTexts(t *callvault.Tenant) []string { return []string{t.Name, t.Title} }
