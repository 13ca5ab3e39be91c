package pages

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"callvault"
)

//go:embed static templates
var files embed.FS

// assets are the style sheets, the scripts and the icon. Their paths hold one hash of
// them all, so that a script can import its neighbours by name and a browser may cache
// them for ever.
type assets struct {
	hash  string
	files map[string]*asset
}

type asset struct {
	kind   string // its content type
	plain  []byte
	zipped []byte
}

// kinds are the content types by file name extension. The machine's own table is not
// used, since it differs between machines.
var kinds = map[string]string{
	".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

func loadAssets() (*assets, error) {
	a := &assets{files: map[string]*asset{}}
	sum := sha256.New()
	entries, err := fs.ReadDir(files, "static")
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		text, err := fs.ReadFile(files, "static/"+entry.Name())
		if err != nil {
			return nil, err
		}
		kind, known := kinds[path.Ext(entry.Name())]
		if !known {
			return nil, fmt.Errorf("static file %s has no known kind", entry.Name())
		}
		fmt.Fprintf(sum, "%s %d\n%s", entry.Name(), len(text), text)
		a.files[entry.Name()] = &asset{kind: kind, plain: text, zipped: zip(text)}
	}
	a.hash = hex.EncodeToString(sum.Sum(nil)[:8])
	return a, nil
}

// zip compresses text. Writing to memory never fails.
func zip(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text)
	_ = z.Close()
	return b.Bytes()
}

// path returns the path of a static file, such as /static/1f2e…/app.js. An unknown name
// is a mistake in a template.
func (a *assets) path(name string) (string, error) {
	if _, ok := a.files[name]; !ok {
		return "", fmt.Errorf("there is no static file %s", name)
	}
	return "/static/" + a.hash + "/" + name, nil
}

// static answers with a static file.
func (p *Pages) static(x *exchange) error {
	file, ok := p.assets.files[x.r.PathValue("name")]
	if !ok || x.r.PathValue("hash") != p.assets.hash {
		return fmt.Errorf("there is no such file; reload the page: %w", callvault.NotFound)
	}
	x.out.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	p.sendAsset(x, file)
	return nil
}

// favicon answers browsers that ask for the icon without having loaded a page.
func (p *Pages) favicon(x *exchange) error {
	x.out.Header().Set("Cache-Control", "public, max-age=86400")
	p.sendAsset(x, p.assets.files["icon.svg"])
	return nil
}

func (p *Pages) sendAsset(x *exchange, file *asset) {
	header, content := x.out.Header(), file.plain
	header.Set("Content-Type", file.kind)
	header.Set("Vary", "Accept-Encoding")
	if strings.Contains(x.r.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		content = file.zipped
	}
	http.ServeContent(x.out, x.r, "", time.Time{}, bytes.NewReader(content))
}
