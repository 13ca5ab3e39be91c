package pages

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// view is the data of a template.
type view struct {
	Title   string
	Here    string // the path of the menu entry to mark as current, such as /recordings
	Visitor *Visitor
	Version string
	Data    any // the page's own data
}

// loadTemplates parses the pages' templates. Each includes the layout and the shared
// parts; it defines "main", and may define "styles" and "scripts".
func (p *Pages) loadTemplates() (map[string]*template.Template, error) {
	shared, err := template.New("").Funcs(p.functions()).Funcs(wordFunctions).ParseFS(files, "templates/layout.html", "templates/parts.html", "templates/complete-parts.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	loaded := map[string]*template.Template{}
	for _, name := range names {
		page := strings.TrimSuffix(path.Base(name), ".html")
		if page == "layout" || strings.HasSuffix(page, "parts") {
			continue
		}
		clone, err := shared.Clone()
		if err == nil {
			loaded[page], err = clone.ParseFS(files, name)
		}
		if err != nil {
			return nil, fmt.Errorf("page %s: %w", page, err)
		}
	}
	return loaded, nil
}

// render answers with a page: the named template, executed with the view.
func (p *Pages) render(x *exchange, name string, v view) error {
	return p.renderStatus(x, http.StatusOK, name, v)
}

// renderStatus answers with a page and the given status. The whole page is rendered
// before the first byte is sent.
func (p *Pages) renderStatus(x *exchange, status int, name string, v view) error {
	v.Visitor, v.Version = x.visitor, p.Version
	var page bytes.Buffer
	if err := p.templates[name].ExecuteTemplate(&page, "layout", v); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	header := x.out.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Length", strconv.Itoa(page.Len()))
	x.out.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.out.Write(page.Bytes()) // an error means that the client has gone
	}
	return nil
}
