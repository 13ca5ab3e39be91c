package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"callvault/client"
	"callvault/collect"

	"github.com/pelletier/go-toml/v2"
)

// config is the configuration file.
type config struct {
	Source []sourceConfig `toml:"source"`
	Alerts alertsConfig   `toml:"alerts"`

	dir string // the file's folder; the files that it names are relative to it
}

// sourceConfig is a [[source]] of the configuration file.
type sourceConfig struct {
	Name      string           `toml:"name"`
	URL       string           `toml:"url"`
	KeyFile   string           `toml:"key_file"`
	KeyEnv    string           `toml:"key_env"`
	Since     string           `toml:"since"`
	Schedule  string           `toml:"schedule"`
	TimeZone  string           `toml:"time_zone"`
	Pace      string           `toml:"pace"`
	OwnServer bool             `toml:"own_server"`
	Lookback  string           `toml:"lookback"`
	Prefix    string           `toml:"prefix"`
	Agents    map[string]int64 `toml:"agents"`
}

// alertsConfig is [alerts] of the configuration file.
type alertsConfig struct {
	Webhook    string `toml:"webhook"`
	SecretFile string `toml:"secret_file"`
	SecretEnv  string `toml:"secret_env"`
}

// configName is the name of the configuration file in a data folder.
const configName = "callvault.toml"

// readConfig reads the file that --config names, else the one in the data folder. Where
// there is neither, the configuration is empty. An unknown key is an error.
func readConfig(o *options) (*config, error) {
	path, named := o.config, o.config != ""
	if !named {
		path = filepath.Join(o.data, configName)
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return &config{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c := &config{}
	text = bytes.TrimPrefix(text, []byte("\uFEFF")) // the byte order mark, which editors on Windows write
	decoder := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := decoder.Decode(c); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, tomlError(err))
	}
	c.dir = filepath.Dir(path)
	names := map[string]bool{}
	for _, s := range c.Source {
		if names[s.Name] {
			return nil, fmt.Errorf("configuration %s: two sources are named %q", path, s.Name)
		}
		names[s.Name] = true
	}
	return c, nil
}

// tomlError adds the line to the text of an error of the TOML decoder.
func tomlError(err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		first := unknown.Errors[0]
		row, _ := first.Position()
		return fmt.Errorf("line %d: the key %s is not known", row, strings.Join(first.Key(), "."))
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		row, column := wrong.Position()
		if what, otherType := strings.CutPrefix(err.Error(), "toml: cannot decode TOML "); otherType {
			kind, _, _ := strings.Cut(what, " into ")
			return fmt.Errorf("line %d, column %d: a %s cannot stand here; strings, days and durations are quoted; numbers, true and false are not", row, column, kind)
		}
		return fmt.Errorf("line %d, column %d: %w", row, column, err)
	}
	return err
}

// scheduled is a source and its schedule, which is nil when it is collected only by hand.
type scheduled struct {
	*collect.Source
	url      string
	schedule *collect.Schedule
}

// sources returns the sources with those names, or all when no name is given. A source
// whose key cannot be read has no Client: a run over it fails and says why, while runs
// over the others do not.
func (c *config) sources(names []string) ([]scheduled, error) {
	all, err := c.withoutClients(names)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Client, _ = all[i].Renew()
	}
	return all, checkNames(all, names)
}

// requireAnyKey fails when the key of no source could be read, and says why.
func requireAnyKey(sources []scheduled) error {
	if slices.ContainsFunc(sources, func(s scheduled) bool { return s.Client != nil }) {
		return nil
	}
	_, err := sources[0].Renew()
	return fmt.Errorf("source %s: %w", sources[0].Name, err)
}

// withoutClients returns the same sources without Clients, for commands that ask the
// sources nothing. It reads no keys, and ignores names that are not configured.
func (c *config) withoutClients(names []string) ([]scheduled, error) {
	var all []scheduled
	for i := range c.Source {
		if len(names) > 0 && !slices.Contains(names, c.Source[i].Name) {
			continue
		}
		s, err := c.Source[i].source()
		if err != nil {
			return nil, fmt.Errorf("source %s: %w", c.Source[i].Name, err)
		}
		s.Renew = c.Source[i].clientMaker(c.dir)
		all = append(all, s)
	}
	return all, nil
}

// collectSources returns the sources without their schedules.
func collectSources(all []scheduled) (sources []*collect.Source) {
	for _, s := range all {
		sources = append(sources, s.Source)
	}
	return sources
}

// checkNames fails when a name is not that of a source, or when there is no source at all.
func checkNames(all []scheduled, names []string) error {
	for _, name := range names {
		if !slices.ContainsFunc(all, func(s scheduled) bool { return s.Name == name }) {
			return usageError{fmt.Errorf("the configuration has no source %q", name)}
		}
	}
	if len(all) == 0 {
		return errors.New("no source is configured: put a [[source]] into callvault.toml in the data folder, or name a file with --config")
	}
	return nil
}

// clientMaker returns a function that makes the source's client, and a new one whenever
// the key has changed, so that a service need not be restarted when a key is refreshed.
// The file that holds the key is relative to dir.
func (c *sourceConfig) clientMaker(dir string) func() (*client.Client, error) {
	var mu sync.Mutex // workers begin many turns at a time
	var made *client.Client
	var lastKey string
	return func() (*client.Client, error) {
		mu.Lock()
		defer mu.Unlock()
		key, err := secret(dir, c.KeyFile, c.KeyEnv)
		if err != nil {
			return made, fmt.Errorf("key: %w", err)
		}
		if made != nil && key == lastKey {
			return made, nil
		}
		fresh, err := client.New(c.URL, key, client.WithUserAgent("callvault/"+version()))
		if err == nil {
			made, lastKey = fresh, key
		}
		return made, err
	}
}

// source makes the source, without its client.
func (c *sourceConfig) source() (s scheduled, err error) {
	s.Source = &collect.Source{
		Name: c.Name, Prefix: c.Prefix, Agents: c.Agents, OwnServer: c.OwnServer,
		Pace: collect.DefaultPace, Lookback: collect.DefaultLookback,
	}
	s.url = c.URL
	if _, err := client.New(c.URL, "any"); err != nil {
		return s, err // an address that cannot be used: say so now, not when a run begins
	}
	if c.Since == "" {
		return s, errors.New("since is missing: the first day to collect, such as \"2024-01-01\"")
	}
	if _, err := time.LoadLocation(c.TimeZone); err != nil {
		return s, fmt.Errorf("time_zone: %q is not a time zone; use an IANA name such as America/Denver", c.TimeZone)
	}
	span, err := spanOf(c.Since, "")
	if err != nil {
		return s, fmt.Errorf("since: %v", err) // %v: the command line was not at fault
	}
	s.Since = span.From
	for text, to := range map[string]*time.Duration{"pace=" + c.Pace: &s.Pace, "lookback=" + c.Lookback: &s.Lookback} {
		key, value, _ := strings.Cut(text, "=")
		if value == "" {
			continue
		}
		if *to, err = time.ParseDuration(value); err != nil {
			return s, fmt.Errorf("%s: %q is not a duration such as \"3.5s\" or \"120h\"", key, value)
		}
	}
	if c.Schedule != "" {
		if s.schedule, err = collect.ParseSchedule(c.Schedule, c.TimeZone); err != nil {
			return s, err
		}
	}
	return s, s.Validate()
}

// secret reads a secret from a file, relative to dir, or from the environment.
func secret(dir, file, env string) (string, error) {
	switch {
	case (file == "") == (env == ""):
		return "", errors.New("name either a file or an environment variable that holds it")
	case file != "":
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		text, err := os.ReadFile(file)
		value := strings.TrimSpace(string(text))
		if err == nil && value == "" {
			err = fmt.Errorf("the file %s is empty", file)
		}
		return value, err
	}
	value := strings.TrimSpace(os.Getenv(env))
	if value == "" {
		return "", fmt.Errorf("the environment variable %s is empty", env)
	}
	return value, nil
}

// alerts returns the sender of alerts, or nil when none is configured.
func (c *config) alerts(log *slog.Logger) (*collect.Alerts, error) {
	hook, err := url.Parse(c.Alerts.Webhook)
	switch {
	case c.Alerts == alertsConfig{}:
		return nil, nil
	case err != nil, hook.Scheme != "http" && hook.Scheme != "https", hook.Host == "":
		return nil, errors.New("alerts: the webhook is not an address such as https://ops.example.com/callvault")
	}
	a := &collect.Alerts{URL: c.Alerts.Webhook, Log: log, HTTP: &http.Client{Timeout: 20 * time.Second}}
	if c.Alerts.SecretFile != "" || c.Alerts.SecretEnv != "" {
		shared, err := secret(c.dir, c.Alerts.SecretFile, c.Alerts.SecretEnv)
		if err != nil {
			return nil, fmt.Errorf("alerts: secret: %w", err)
		}
		a.Secret = []byte(shared)
	}
	return a, nil
}
