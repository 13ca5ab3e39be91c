package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/client"
	"callvault/collect"
	"callvault/owner"
	"callvault/sample"
	"callvault/server"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func demoCommand(o *options) *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "demo",
		Short: "See Callvault at work: a source, a collector, and a service over what was collected",
		Long: `See Callvault at work, in one process and about a minute. The demo starts a source with three sample
tenants and a month of calls. A collector pulls them over HTTP into an archive of its own, two tenants as
fast as it can, the third at the pace that a provider's limits demand. Then a service starts over the
collected archive, and the demo prints the address of its pages and some requests to try. Everything is
in a temporary folder, or in the one that --data names, which must be new or an earlier demo's.`,
		Example: `  callvault demo
  callvault demo --data demo-data --listen 127.0.0.1:8080`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, cleanUp, err := demoFolder(c, o)
			if err != nil {
				return err
			}
			d := &demonstration{out: c.OutOrStdout(), dir: dir, listen: listen}
			return errors.Join(d.run(c.Context()), cleanUp())
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address of the service over the collected archive")
	return c
}

// demoFolder returns the folder that was named, or a temporary one. It refuses a folder
// with an archive that no demo made, which would be filled with sample calls and users.
func demoFolder(c *cobra.Command, o *options) (dir string, cleanUp func() error, err error) {
	if !c.Flags().Changed("data") && os.Getenv("CALLVAULT_DATA") == "" {
		dir, err = os.MkdirTemp("", "callvault-demo-")
		return dir, func() error { return os.RemoveAll(dir) }, err
	}
	source := filepath.Join(o.data, demoSource)
	if exists(filepath.Join(o.data, "callvault.db")) && !exists(source) {
		return "", nil, fmt.Errorf("%s holds an archive that is not a demo's; name another folder with --data", o.data)
	}
	// Before there is an archive: a demo that is killed must not be refused its own folder.
	return o.data, func() error { return nil }, owner.MkdirAll(source)
}

// demoSource is the data folder of the demo's source, within that of the demo.
const demoSource = "source"

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// demonstration is a source, a collector, and a service over what was collected.
type demonstration struct {
	out         io.Writer
	dir, listen string
	sources     []scheduled
}

// run collects, and then serves until ctx ends.
func (d *demonstration) run(ctx context.Context) error {
	at := &options{place: place{data: d.dir}}
	err := withVault(ctx, at, func(v *vault) error {
		if err := d.collect(ctx, v); err != nil {
			return err
		}
		return d.serve(ctx, v)
	})
	if ctx.Err() != nil {
		fmt.Fprintln(d.out, "The demo has ended.")
		return nil
	}
	return err
}

// collect starts the source and pulls its recordings into v.
func (d *demonstration) collect(ctx context.Context, v *vault) error {
	source, err := openVault(ctx, place{data: filepath.Join(d.dir, demoSource)})
	if err != nil {
		return err
	}
	defer source.Close()
	fmt.Fprintln(d.out, "Creating a source of three tenants with a month of sample calls...")
	if err := loadSample(ctx, source); err != nil {
		return err
	}
	s, err := newService(ctx, source, server.DefaultMaxUpload, warningLog())
	if err != nil {
		return err
	}
	listener, err := server.Listen(ctx, "127.0.0.1:0")
	if err != nil {
		s.release()
		return err
	}
	if d.sources, err = d.makeSources(ctx, source, base(listener)); err != nil {
		s.release()
		return errors.Join(err, listener.Close())
	}
	serving, stop := context.WithCancel(ctx)
	var group errgroup.Group
	group.Go(func() error { return s.run(serving, map[net.Listener]http.Handler{listener: s.server}) })
	fmt.Fprintf(d.out, "Collecting from %s over HTTP: two tenants unpaced, %s at one request every 3.5 seconds...\n", base(listener), pacedTenant)
	err = d.pull(ctx, v)
	stop()
	return errors.Join(err, group.Wait())
}

// pull runs the collector over the sources, and shows its progress and how complete the
// result is.
func (d *demonstration) pull(ctx context.Context, v *vault) error {
	collector, closeQuarantine, err := newCollector(v, warningLog())
	if err != nil {
		return err
	}
	defer closeQuarantine()
	runs, err := startRuns(ctx, collector, d.sources, collect.Always, false)
	if err != nil {
		return err
	}
	reports, err := waitRuns(ctx, runs, d.out)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	_ = printReports(d.out, &options{}, reports) // incomplete is no error here: the report shows it
	status := &statusReport{}
	for _, s := range d.sources {
		tenants, err := collector.TenantStatuses(ctx, s.Source, time.Now())
		if err != nil {
			return err
		}
		status.Tenants = append(status.Tenants, tenants...)
	}
	fmt.Fprintln(d.out)
	_ = status.print(d.out, &options{})
	return nil
}

// pacedTenant is the sample tenant that is collected at a provider's pace, and
// pacedRecordings how many of its recordings fit into the demo.
const (
	pacedTenant     = "kestrelby-freight"
	pacedRecordings = 7
)

// makeSources makes the demo's sources: one for the tenants without a request limit, and
// one for the tenant that keeps the real limit, with so few recordings that it takes no
// more than a minute.
func (d *demonstration) makeSources(ctx context.Context, source *vault, url string) ([]scheduled, error) {
	var eased []string
	for _, tenant := range sample.Tenants() {
		if tenant.Name != pacedTenant {
			eased = append(eased, tenant.Name)
		}
	}
	for _, name := range eased {
		err := source.accounts.SetTenant(ctx, name, func(t *callvault.Tenant) error {
			t.RequestLimit = false
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	now := time.Now()
	fast := &collect.Source{Name: "eased", OwnServer: true, Since: now.AddDate(0, 0, -31).UnixMilli(), Lookback: collect.DefaultLookback}
	paced := &collect.Source{Name: "paced", Pace: collect.DefaultPace, Since: pacedSince(now), Lookback: collect.DefaultLookback}
	for s, tenants := range map[*collect.Source][]string{fast: eased, paced: {pacedTenant}} {
		user := callvault.ServiceUser{
			Name: "collector-" + s.Name, Grant: callvault.Grant{Tenants: tenants}, Enabled: true, Can: []callvault.Capability{callvault.Read},
		}
		key, err := keyOf(ctx, source, user)
		if err == nil {
			s.Client, err = client.New(url, key)
		}
		if err != nil {
			return nil, err
		}
	}
	return []scheduled{{Source: fast, url: url}, {Source: paced, url: url}}, nil
}

// pacedSince returns the time (Unix milliseconds) from which on the paced tenant has as
// many recordings as fit into the demo.
func pacedSince(now time.Time) int64 {
	var starts []int64
	for item := range sample.Month(now) {
		if item.Recording.TenantName == pacedTenant {
			starts = append(starts, item.Recording.StartTime)
		}
	}
	return starts[max(0, len(starts)-pacedRecordings)]
}

// serve starts the service over what was collected, and prints what to try.
func (d *demonstration) serve(ctx context.Context, v *vault) error {
	s, err := newService(ctx, v, server.DefaultMaxUpload, warningLog())
	if err != nil {
		return err
	}
	listener, err := demoListener(d.listen)
	if err != nil {
		s.release()
		return err
	}
	handler, text, err := d.prepare(ctx, s, base(listener))
	if err != nil {
		s.release()
		return errors.Join(err, listener.Close())
	}
	printDemo(d.out, text)
	return s.run(ctx, map[net.Listener]http.Handler{listener: handler})
}

// prepare makes the handler of the service, and gathers what the demo prints about it.
func (d *demonstration) prepare(ctx context.Context, s *service, url string) (http.Handler, *demoText, error) {
	collector, closeQuarantine, err := newCollector(s.vault, warningLog())
	if err != nil {
		return nil, nil, err
	}
	s.jobs = append(s.jobs, func(ctx context.Context) error {
		<-ctx.Done()
		return closeQuarantine()
	})
	if err := s.show(ctx, collector, d.sources); err != nil {
		return nil, nil, err
	}
	for _, tenant := range sample.Tenants() { // the lists of a source have only the names of its tenants
		err := s.vault.accounts.SetTenant(ctx, tenant.Name, func(t *callvault.Tenant) error {
			t.Title, t.TimeZone, t.Agents = tenant.Title, tenant.TimeZone, tenant.Agents
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	text, err := d.text(ctx, s.vault, url)
	if err != nil {
		return nil, nil, err
	}
	handler, err := s.handler()
	return handler, text, err
}

// text gathers what the demo prints at its end.
func (d *demonstration) text(ctx context.Context, v *vault, url string) (*demoText, error) {
	key, err := keyOf(ctx, v, callvault.ServiceUser{
		Name: "demo", Grant: callvault.Grant{AllTenants: true}, Enabled: true, RequestLimit: true,
		Can: []callvault.Capability{callvault.Read, callvault.Write, callvault.Admin},
	})
	if err != nil {
		return nil, err
	}
	link, err := linkOf(ctx, v, url, callvault.Person{
		Name: "newcomer", Grant: callvault.Grant{AllTenants: true}, Enabled: true,
		Can: []callvault.Capability{callvault.Listen, callvault.Download, callvault.Admin},
	})
	if err != nil {
		return nil, err
	}
	text := &demoText{url: url, key: key, link: link, dir: d.dir}
	if text.totals, err = v.archive.Totals(ctx); err != nil {
		return nil, err
	}
	for item := range sample.Month(time.Now()) {
		if item.Audio != nil && item.Recording.TenantName != pacedTenant {
			text.example = item.Recording
		}
	}
	return text, nil
}

// demoListener listens at the given address, or on any port if that is taken.
func demoListener(listen string) (net.Listener, error) {
	listener, err := net.Listen("tcp", listen)
	if err == nil {
		return listener, nil
	}
	listener, anyErr := net.Listen("tcp", "127.0.0.1:0")
	if anyErr != nil {
		return nil, errors.Join(err, anyErr)
	}
	return listener, nil
}

// keyOf adds a service user and returns its key. A user that an earlier demo added gets a
// new key.
func keyOf(ctx context.Context, v *vault, user callvault.ServiceUser) (key string, err error) {
	key, err = v.accounts.AddUser(ctx, user, time.Now())
	if errors.Is(err, callvault.Conflict) {
		return v.accounts.RefreshUser(ctx, user.Name, time.Now())
	}
	return key, err
}

// linkOf adds a person, unless an earlier demo did, and returns a link that signs them in.
func linkOf(ctx context.Context, v *vault, url string, person callvault.Person) (link string, err error) {
	if _, err := v.accounts.AddPerson(ctx, person, time.Now()); err != nil && !errors.Is(err, callvault.Conflict) {
		return "", err
	}
	ticket, err := v.accounts.SignInTicket(ctx, person.Name, time.Now())
	return welcome(url, ticket), err
}

// demoText is what the demo prints at its end.
type demoText struct {
	url, key, link, dir string
	totals              []archive.Total
	example             callvault.Recording
}

func printDemo(out io.Writer, t *demoText) {
	var held int64
	for _, total := range t.totals {
		held += total.Held
	}
	from := time.UnixMilli(t.example.StartTime).UTC()
	fmt.Fprintf(out, `
%[2]d recordings were collected into %[3]s.
Open this link in a browser; it signs you in, and works once:

  %[9]s

The same over the API, in another terminal:

  KEY=%[4]s
  curl -H "Authorization: Bearer $KEY" '%[1]s/rest/api/v2/recordings?startTime=%[5]s&endTime=%[6]s'
  curl -H "Authorization: Bearer $KEY" '%[1]s/rest/api/v2/call-recording-info?startTime=%[5]s&endTime=%[6]s'
  curl -H "Authorization: Bearer $KEY" -o call.opus '%[1]s/rest/api/v2/recordings/%[7]s/%[8]s/audio'

Ctrl-C ends it.
`, t.url, held, t.dir, t.key, from.Truncate(time.Hour).Format(time.RFC3339), from.Truncate(time.Hour).Add(time.Hour).Format(time.RFC3339),
		t.example.TenantName, t.example.RecordingKey, t.link)
}
