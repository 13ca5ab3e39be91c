package callvault_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rooms lists, for each package, which of our packages it may import. Commands may
// import all; sample is for them and for tests.
var rooms = map[string][]string{
	".":        {},
	"account":  {".", "database"},
	"archive":  {".", "database", "audio"},
	"audio":    {},
	"client":   {"."},
	"collect":  {".", "database", "archive", "client", "audio", "meter"},
	"database": {"owner"},
	"delivery": {".", "archive", "audio", "meter"},
	"ingest":   {".", "archive", "audio"},
	"meter":    {".", "database"},
	"move":     {"archive", "database"},
	"owner":    {},
	"pages":    {".", "account", "meter", "archive", "collect", "audio", "delivery"},
	"sample":   {"."},
	"server":   {".", "account", "meter", "archive", "delivery", "ingest", "audio"},

	"archive/archivetest": {".", "archive", "database", "audio", "sample"},
	"archive/disk":        {"owner"},
	"archive/s3":          {},

	"database/databasetest": {},
	"archive/s3/s3test":     {},
}

// bare are the packages that import only the standard library.
var bare = []string{".", "sample"}

const (
	maxFileLines     = 500
	maxFunctionLines = 80
)

var (
	banner   = regexp.MustCompile(`(?m)^\s*//\s*([-=*#/]\s*){4,}`)
	unfinish = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
)

// TestHouse checks every file against the rules of the house: which package may
// import which, sizes, package comments, no banners, nothing left to do.
func TestHouse(t *testing.T) {
	files := token.NewFileSet()
	documented := map[string]bool{}
	for _, name := range goFiles(t) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if lines := bytes.Count(text, []byte("\n")); lines > maxFileLines {
			t.Errorf("%s has %d lines; %d are allowed", name, lines, maxFileLines)
		}
		checkComments(t, name, file)
		checkFunctions(t, files, file)
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		room := path.Dir(name)
		documented[room] = documented[room] || file.Doc != nil
		checkImports(t, name, room, file)
	}
	for _, room := range slices.Sorted(maps.Keys(documented)) {
		if !documented[room] {
			t.Errorf("package %s has no comment that says what it is for", room)
		}
	}
}

func goFiles(t *testing.T) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != "." && strings.ContainsAny(entry.Name()[:1], "._"):
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(name, ".go"):
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func checkImports(t *testing.T, name, room string, file *ast.File) {
	t.Helper()
	if strings.HasPrefix(room, "cmd/") || room == "bench" || room == "docs/pictures" {
		return
	}
	allowed, known := rooms[room]
	if !known {
		t.Errorf("%s: package %s is missing from the table of imports", name, room)
	}
	for _, spec := range file.Imports {
		target := strings.Trim(spec.Path.Value, `"`)
		ours, isOurs := strings.CutPrefix(target, "callvault/")
		if target == "callvault" {
			ours, isOurs = ".", true
		}
		if isOurs && !slices.Contains(allowed, ours) {
			t.Errorf("%s: %s must not import %s", name, room, target)
		}
		if domain, _, _ := strings.Cut(target, "/"); !isOurs && strings.Contains(domain, ".") && slices.Contains(bare, room) {
			t.Errorf("%s: %s must use the standard library alone, not %s", name, room, target)
		}
	}
}

func checkComments(t *testing.T, name string, file *ast.File) {
	t.Helper()
	for _, group := range file.Comments {
		for _, comment := range group.List {
			if banner.MatchString(comment.Text) || unfinish.MatchString(comment.Text) {
				t.Errorf("%s: %.60q", name, comment.Text)
			}
		}
	}
}

// checkFunctions checks the length of functions.
func checkFunctions(t *testing.T, files *token.FileSet, file *ast.File) {
	t.Helper()
	for _, declaration := range file.Decls {
		f, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		begin, end := files.Position(f.Pos()), files.Position(f.End())
		if lines := end.Line - begin.Line + 1; lines > maxFunctionLines {
			t.Errorf("%s: %s has %d lines; %d are allowed", begin, f.Name.Name, lines, maxFunctionLines)
		}
	}
}
