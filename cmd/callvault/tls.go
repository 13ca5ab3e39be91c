package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// tlsCertificate is the service's certificate chain and its private key, in PEM files.
// They are read again when they have been replaced, as each renewal does. While they
// cannot be read or do not match, the certificate that was read last stays in use.
type tlsCertificate struct {
	files [2]string // the chain, the key
	log   *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	as     [2]os.FileInfo // of the files as they were when pair was read
	looked time.Time
	failed string // why the last look failed; "" if it did not
}

// readCertificate reads the files for the first time.
func readCertificate(chain, key string, log *slog.Logger) (*tlsCertificate, error) {
	c := &tlsCertificate{files: [2]string{chain, key}, log: log}
	if _, err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// read reads the files, unless they are those of pair.
func (c *tlsCertificate) read() (changed bool, err error) {
	c.looked = time.Now()
	same := true
	var now [2]os.FileInfo
	for i, name := range c.files {
		info, err := os.Stat(name)
		if err != nil {
			return false, fmt.Errorf("TLS: %w", err)
		}
		as := c.as[i]
		same = same && as != nil && os.SameFile(as, info) && as.ModTime().Equal(info.ModTime()) && as.Size() == info.Size()
		now[i] = info
	}
	if same {
		return false, nil
	}
	pair, err := tls.LoadX509KeyPair(c.files[0], c.files[1])
	if err != nil {
		return false, fmt.Errorf("TLS: %s and %s: %w", c.files[0], c.files[1], err)
	}
	c.pair, c.as = &pair, now
	return true, nil
}

// reloadIfChanged reads the files if they were replaced, and logs what came of it: an
// error once, not at each look.
func (c *tlsCertificate) reloadIfChanged() {
	changed, err := c.read()
	last := c.failed
	c.failed = ""
	if err != nil {
		c.failed = err.Error()
	}
	switch {
	case err != nil && c.failed != last:
		c.log.Error("the certificate cannot be read again; the one before stays in use", "error", err)
	case changed:
		c.log.Info("the certificate was replaced", "serial", c.pair.Leaf.SerialNumber.String(), "until", c.pair.Leaf.NotAfter)
	}
}

// statEvery is how often, at most, handshakes look at the files.
const statEvery = 10 * time.Second

// get returns the certificate for a handshake.
func (c *tlsCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= statEvery {
		c.reloadIfChanged()
	}
	return c.pair, nil
}

// reloadOnHangup looks at the files whenever the service receives SIGHUP. Unhandled, that
// signal would end the service, and systemd would count that as a clean exit.
func (c *tlsCertificate) reloadOnHangup(ctx context.Context) error {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangups:
			c.mu.Lock()
			c.failed = "" // somebody asks: say so even if it was said before
			c.reloadIfChanged()
			c.mu.Unlock()
		}
	}
}
