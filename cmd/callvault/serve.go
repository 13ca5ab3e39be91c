package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strings"

	"callvault/account"
	"callvault/database"
	"callvault/meter"
	"callvault/pages"
	"callvault/server"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// serveFlags say where and how the service listens.
type serveFlags struct {
	listen, metricsListen, tlsCert, tlsKey string
	maxUpload                              int64
	noCollect, redirect                    bool
}

func serveCommand(o *options) *cobra.Command {
	var flags serveFlags
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the service, and collect from the configured sources by their schedules",
		Example: `  callvault serve
  callvault serve --listen :8443 --tls-cert cert.pem --tls-key key.pem --metrics-listen 127.0.0.1:9090`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := flags.check(o); err != nil {
				return usageError{err}
			}
			log := serviceLog()
			config, err := readConfig(o)
			if err != nil {
				return err
			}
			c.SetContext(account.As(c.Context(), account.Service)) // what a service does is nobody's command
			return withAudio(c.Context(), o, func(v *vault) error {
				s, err := newService(c.Context(), v, flags.maxUpload, log)
				if err != nil {
					return err
				}
				s.server.Redirect = flags.redirect
				if err := s.collectBySchedule(c.Context(), config, flags.noCollect); err != nil {
					s.release()
					return err
				}
				return s.serve(database.Impatient(c.Context()), &flags)
			})
		},
	}
	c.Flags().StringVar(&flags.listen, "listen", "127.0.0.1:8080", "address of the service")
	c.Flags().StringVar(&flags.metricsListen, "metrics-listen", "", "separate address for /metrics, where no key is needed")
	c.Flags().StringVar(&flags.tlsCert, "tls-cert", "", "certificate chain, a PEM file")
	c.Flags().StringVar(&flags.tlsKey, "tls-key", "", "the certificate's private key, a PEM file")
	c.Flags().BoolVar(&flags.noCollect, "no-collect", false, "leave collecting to workers, or to callvault collect")
	c.Flags().BoolVar(&flags.redirect, "audio-redirect", false, "answer API requests for audio with 307 and an address in the store of --audio that is valid for a minute")
	c.Flags().Int64Var(&flags.maxUpload, "max-upload", server.DefaultMaxUpload, "largest body of an upload, in bytes")
	return c
}

// check fails when the flags contradict each other or make no sense.
func (f *serveFlags) check(o *options) error {
	switch {
	case f.listen == "":
		return errors.New("--listen is empty; name an address such as 127.0.0.1:8080")
	case (f.tlsCert == "") != (f.tlsKey == ""):
		return errors.New("--tls-cert and --tls-key come together: give both, or neither")
	case f.redirect && o.audio == "":
		return errors.New("--audio-redirect needs --audio s3://...: there is no other place to send clients to")
	case f.maxUpload < 1:
		return fmt.Errorf("--max-upload %d would refuse every upload; to stop a user from uploading, use user set NAME --can read", f.maxUpload)
	}
	return nil
}

// service is a server and everything that it works with.
type service struct {
	vault     *vault
	meter     counter
	server    *server.Server
	pages     pages.Config
	log       *slog.Logger
	stopPages func()                        // ends the streams of the pages, which have no end of their own
	release   func()                        // releases the lock that keeps a second service off the data folder
	jobs      []func(context.Context) error // run beside the serving, until it ends
}

// counter is a meter whose counts are saved while Run runs.
type counter interface {
	server.Meter
	pages.Meter
	Run(ctx context.Context) error
}

// newService makes a service over an archive. Only one service may run on an archive,
// because it counts limits in memory; unless the database is shared, where the limits
// are counted in it.
func newService(ctx context.Context, v *vault, maxUpload int64, log *slog.Logger) (*service, error) {
	if err := v.warnIfLost(ctx, log); err != nil {
		return nil, err
	}
	counts, release, err := openMeter(ctx, v)
	if err != nil {
		return nil, err
	}
	s := server.New(server.Config{
		Accounts: v.accounts, Meter: counts, Archive: v.archive, Log: log,
		MaxUpload: maxUpload, DiskFree: v.diskFree(), Version: version(),
	})
	shown := pages.Config{Accounts: v.accounts, Meter: counts, Archive: v.archive, Log: log, Version: version()}
	return &service{vault: v, meter: counts, server: s, pages: shown, log: log, stopPages: func() {}, release: release}, nil
}

func openMeter(ctx context.Context, v *vault) (counts counter, release func(), err error) {
	if v.db.Shared() {
		return meter.NewShared(v.db), func() {}, nil
	}
	release, err = v.db.Lock("service", nil)
	if err != nil {
		return nil, nil, fmt.Errorf("a service runs on %s already: %w", v.data, err)
	}
	if counts, err = meter.Open(ctx, v.db); err != nil {
		release()
	}
	return counts, release, err
}

// handler returns the handler of all paths: the pages at theirs, the API at all others.
func (s *service) handler() (http.Handler, error) {
	shown, err := pages.New(s.pages)
	if err != nil {
		return nil, err
	}
	s.stopPages = shown.Stopping
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if shown.Serves(r.URL.Path) {
			shown.ServeHTTP(w, r)
			return
		}
		s.server.ServeHTTP(w, r)
	}), nil
}

// serve serves as the flags say, until ctx ends.
func (s *service) serve(ctx context.Context, flags *serveFlags) error {
	listener, err := server.Listen(ctx, flags.listen)
	if err != nil {
		s.release()
		return fmt.Errorf("%w; name a free address of this machine with --listen", err)
	}
	scheme := "http"
	if flags.tlsCert != "" {
		pair, err := readCertificate(flags.tlsCert, flags.tlsKey, s.log)
		if err != nil {
			s.release()
			return errors.Join(err, listener.Close())
		}
		scheme = "https"
		s.jobs = append(s.jobs, pair.reloadOnHangup)
		listener = tls.NewListener(listener, &tls.Config{
			GetCertificate: pair.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		})
	} else if !loopback(listener.Addr()) {
		s.log.Warn("plain HTTP beyond this machine: others on the network can read authentication keys and recordings; use --tls-cert and --tls-key, or a proxy that speaks TLS",
			"address", listener.Addr().String())
	}
	handler, err := s.handler()
	if err != nil {
		s.release()
		return errors.Join(err, listener.Close())
	}
	listeners := map[net.Listener]http.Handler{listener: handler}
	if flags.metricsListen != "" {
		extra, err := net.Listen("tcp", flags.metricsListen)
		if err != nil {
			s.release()
			return errors.Join(fmt.Errorf("%w; name a free address of this machine with --metrics-listen", err), listener.Close())
		}
		listeners[extra] = s.server.MetricsHandler()
		s.log.Info("metrics", "url", "http://"+extra.Addr().String()+"/metrics")
	}
	s.log.Info("serving", "url", scheme+"://"+listener.Addr().String(), "data", s.vault.data, "version", version())
	return s.run(ctx, listeners)
}

func loopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// run serves on the listeners until ctx ends. Then it lets the answers under way finish,
// and saves what was counted.
func (s *service) run(ctx context.Context, listeners map[net.Listener]http.Handler) error {
	defer s.release()
	if os.Getenv("GOGC") == "" {
		// Hardly anything outlives a request, so the heap is small: half as many
		// collections are worth the few megabytes that they would free.
		debug.SetGCPercent(200)
	}
	counting, stopCounting := context.WithCancel(context.WithoutCancel(ctx))
	var counters errgroup.Group
	counters.Go(func() error { return s.meter.Run(counting) })
	counters.Go(func() error { return s.vault.accounts.Run(counting) })

	serving, serve := errgroup.WithContext(ctx)
	for _, job := range s.jobs {
		serving.Go(func() error { return job(serve) })
	}
	for listener, handler := range listeners {
		h := server.HTTP(handler, s.log)
		serving.Go(func() error {
			if err := h.Serve(listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				return fmt.Errorf("serve: %w", err)
			}
			return nil
		})
		serving.Go(func() error {
			<-serve.Done()
			s.server.Stopping()
			s.stopPages()
			return server.Stop(h)
		})
	}
	err := serving.Wait()
	s.log.Info("stopped")
	stopCounting()
	return errors.Join(err, counters.Wait())
}

// serviceLog returns the log of a long-running process. It becomes the default log too:
// packages that are given none report there what they try again.
func serviceLog() *slog.Logger {
	all := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	slog.SetDefault(all)
	log.SetOutput(io.Discard) // as in run: SetDefault took that over
	return all
}

// warningLog returns a log that reports only what goes wrong.
func warningLog() *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// base returns the address of a listener as a URL.
func base(listener net.Listener) string {
	return "http://" + strings.TrimSuffix(listener.Addr().String(), "/")
}
