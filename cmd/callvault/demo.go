package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"callvault"
	"callvault/archive"
	"callvault/sample"
	"callvault/server"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

func demoCommand(o *options) *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a service with a month of sample calls",
		Long: `See it work: three sample tenants with a month of calls are loaded into a temporary archive (or the
one that --data names), the service is started over it, and requests to try are printed.`,
		Example: `  callvault demo
  callvault demo --data demo-data --listen 127.0.0.1:8080`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			dir, cleanUp, err := demoFolder(c, o)
			if err != nil {
				return err
			}
			at := *o
			at.data = dir
			err = withVault(c.Context(), &at, func(v *vault) error { return demo(c.Context(), c.OutOrStdout(), v, listen) })
			return errors.Join(err, cleanUp())
		},
	}
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address of the service")
	return c
}

// demoFolder is the folder that was named, or a temporary one.
func demoFolder(c *cobra.Command, o *options) (dir string, cleanUp func() error, err error) {
	if c.Flags().Changed("data") || os.Getenv("CALLVAULT_DATA") != "" {
		return o.data, func() error { return nil }, nil
	}
	dir, err = os.MkdirTemp("", "callvault-demo-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}

// demo loads the sample calls and serves them until ctx ends.
func demo(ctx context.Context, out io.Writer, v *vault, listen string) error {
	s, err := newService(ctx, v, server.DefaultMaxUpload, quiet())
	if err != nil {
		return err
	}
	listener, err := demoListener(listen)
	if err != nil {
		s.release()
		return err
	}
	fmt.Fprintln(out, "Loading a month of sample calls...")
	example, err := loadSample(ctx, v)
	if err != nil {
		s.release()
		return errors.Join(err, listener.Close())
	}
	key, err := demoUser(ctx, v)
	if err != nil {
		s.release()
		return errors.Join(err, listener.Close())
	}
	totals, err := v.archive.Totals(ctx)
	if err != nil {
		s.release()
		return errors.Join(err, listener.Close())
	}
	printDemo(out, &demoText{url: base(listener), key: key, dir: v.dir, totals: totals, example: example})
	err = s.run(ctx, map[net.Listener]http.Handler{listener: s.server})
	fmt.Fprintln(out, "The demo has ended.")
	return err
}

// demoListener listens where it is told to; where that is taken, on any port.
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

// loadSample takes the sample month in, and returns its last recording that has
// audio.
func loadSample(ctx context.Context, v *vault) (example callvault.Recording, err error) {
	for _, tenant := range sample.Tenants() {
		err := v.accounts.AddTenant(ctx, tenant, time.Now())
		if err != nil && !errors.Is(err, callvault.Conflict) {
			return example, err
		}
	}
	loaders, ctx := errgroup.WithContext(ctx)
	loaders.SetLimit(32) // so many are made durable together
	for item := range sample.Month(time.Now()) {
		if item.Audio != nil {
			example = item.Recording
		}
		loaders.Go(func() error { return loadItem(ctx, v, item) })
	}
	return example, loaders.Wait()
}

func loadItem(ctx context.Context, v *vault, item sample.Item) error {
	in := &archive.Intake{Recording: item.Recording, Call: &item.Call, Source: "sample", Added: time.Now()}
	if item.Audio != nil {
		spool, err := v.archive.NewSpool()
		if err != nil {
			return err
		}
		defer spool.Discard()
		if _, err := spool.Write(item.Audio); err != nil {
			return err
		}
		if in.Audio, err = spool.Finish(); err != nil {
			return err
		}
		in.UploadSHA256 = in.Audio.SHA256
	}
	_, _, err := v.archive.Keep(ctx, in)
	if errors.Is(err, callvault.Conflict) {
		return nil // an earlier demo's, whose status has moved on since
	}
	return err
}

// demoUser makes the demo's service user, or gives him a new key.
func demoUser(ctx context.Context, v *vault) (key string, err error) {
	user := callvault.ServiceUser{
		Name: "demo", Grant: callvault.Grant{AllTenants: true}, Enabled: true, RequestLimit: true,
		Can: []callvault.Capability{callvault.Read, callvault.Write, callvault.Admin},
	}
	key, err = v.accounts.AddUser(ctx, user, time.Now())
	if errors.Is(err, callvault.Conflict) {
		return v.accounts.RefreshUser(ctx, user.Name, time.Now())
	}
	return key, err
}

// demoText is what the demo tells.
type demoText struct {
	url, key, dir string
	totals        []archive.Total
	example       callvault.Recording
}

func printDemo(out io.Writer, t *demoText) {
	var held int64
	for _, total := range t.totals {
		held += total.Held
		fmt.Fprintf(out, "  %-18s %d recordings, %d with audio, %s\n", total.Tenant, total.Recordings, total.Held, byteCount(total.Bytes))
	}
	from := time.UnixMilli(t.example.StartTime).UTC()
	fmt.Fprintf(out, `
The service is at %[1]s, with %[2]d recordings in %[3]s. Try, in another terminal:

  KEY=%[4]s

  # what was recorded in one hour
  curl -H "Authorization: Bearer $KEY" '%[1]s/rest/api/v2/recordings?startTime=%[5]s&endTime=%[6]s'

  # the same with what is known of the calls
  curl -H "Authorization: Bearer $KEY" '%[1]s/rest/api/v2/call-recording-info?startTime=%[5]s&endTime=%[6]s'

  # the audio of one: Ogg Opus, 8 kHz, mono
  curl -H "Authorization: Bearer $KEY" -o call.opus '%[1]s/rest/api/v2/recordings/%[7]s/%[8]s/audio'

Ctrl-C ends it.
`, t.url, held, t.dir, t.key, from.Truncate(time.Hour).Format(time.RFC3339), from.Truncate(time.Hour).Add(time.Hour).Format(time.RFC3339),
		t.example.TenantName, t.example.RecordingKey)
}
