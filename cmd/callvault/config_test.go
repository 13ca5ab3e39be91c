package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestKeyFileIsReadAgain: a refreshed key is used without a restart; while the file
// cannot be read, the earlier key stays in use.
func TestKeyFileIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "acme.key")
	write := func(key string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	c := &config{dir: dir, Source: []sourceConfig{{Name: "acme", URL: "https://acme.example", KeyFile: "acme.key", Since: "2024-01-01"}}}
	sources, err := c.sources(nil)
	if err != nil {
		t.Fatal(err)
	}
	first, renew := sources[0].Client, sources[0].Renew
	if again, err := renew(); err != nil || again != first {
		t.Errorf("the same key: another client, %v", err)
	}
	write("")
	if again, err := renew(); err == nil || again != first {
		t.Errorf("an empty file: %v", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if again, err := renew(); err == nil || again != first {
		t.Errorf("no file: %v", err)
	}
	write("second")
	second, err := renew()
	if err != nil || second == first {
		t.Errorf("another key: the same client, %v", err)
	}
	if again, err := renew(); err != nil || again != second {
		t.Errorf("the other key again: a third client, %v", err)
	}
}

// TestSourceWithoutKey: a malformed address is refused at once; a key that cannot be read
// fails only the runs over its source.
func TestSourceWithoutKey(t *testing.T) {
	c := &config{dir: t.TempDir(), Source: []sourceConfig{{Name: "acme", URL: "https://acme.example", KeyFile: "acme.key", Since: "2024-01-01"}}}
	if sources, err := c.sources(nil); err != nil || sources[0].Client != nil {
		t.Errorf("without a key: %+v, %v", sources, err)
	}
	c.Source[0].URL = "ftp://acme.example"
	if _, err := c.sources(nil); err == nil {
		t.Error("an address that is none was taken")
	}
}

// TestEmptySecret: alerts are not sent unsigned if the configuration asks for a signature.
func TestEmptySecret(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hook.secret"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := &config{dir: dir, Alerts: alertsConfig{Webhook: "https://hook.example", SecretFile: "hook.secret"}}
	if alerts, err := c.alerts(warningLog()); err == nil || alerts != nil {
		t.Errorf("a secret that is empty: %+v, %v", alerts, err)
	}
}

// TestWithoutQuotes: missing or superfluous quotes are reported in terms of the file, not
// of Go.
func TestWithoutQuotes(t *testing.T) {
	for line, kind := range map[string]string{
		`since = 2024-01-01`: "a local date", `pace = 3.5`: "a float", `own_server = "true"`: "a string", "agents = { a = '5' }": "a string",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, configName), []byte("[[source]]\n"+line), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := readConfig(&options{place: place{data: dir}})
		if err == nil || !strings.Contains(err.Error(), "line 2, column") || !strings.Contains(err.Error(), kind) || strings.Contains(err.Error(), "struct") {
			t.Errorf("%s: %v", line, err)
		}
	}
}

// TestByteOrderMark: a configuration may begin with a byte order mark, as Windows editors write it.
func TestByteOrderMark(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, configName), []byte("\uFEFF[[source]]\r\nname = \"acme\"\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readConfig(&options{place: place{data: dir}})
	if err != nil || len(c.Source) != 1 || c.Source[0].Name != "acme" {
		t.Errorf("%+v, %v", c, err)
	}
}
