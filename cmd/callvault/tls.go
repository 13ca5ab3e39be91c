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
// They are read again once they were replaced, as each renewal does; while they do
// not fit together, what was read last is used on.
type tlsCertificate struct {
	files [2]string // the chain, the key
	log   *slog.Logger

	mu     sync.Mutex
	pair   *tls.Certificate
	as     [2]os.FileInfo // how the files looked when they were read last
	looked time.Time
}

// readCertificate reads the files for the first time.
func readCertificate(chain, key string, log *slog.Logger) (*tlsCertificate, error) {
	c := &tlsCertificate{files: [2]string{chain, key}, log: log}
	if _, err := c.read(); err != nil {
		return nil, err
	}
	return c, nil
}

// read reads the files, unless they look as they did.
func (c *tlsCertificate) read() (changed bool, err error) {
	c.looked = time.Now()
	same := true
	for i, name := range c.files {
		info, err := os.Stat(name)
		if err != nil {
			return false, fmt.Errorf("TLS: %w", err)
		}
		as := c.as[i]
		same = same && as != nil && os.SameFile(as, info) && as.ModTime().Equal(info.ModTime()) && as.Size() == info.Size()
		c.as[i] = info
	}
	if same {
		return false, nil
	}
	pair, err := tls.LoadX509KeyPair(c.files[0], c.files[1])
	if err != nil {
		return true, fmt.Errorf("TLS: %s and %s: %w", c.files[0], c.files[1], err)
	}
	c.pair = &pair
	return true, nil
}

// reloadIfChanged reads the files if they were replaced, and tells of it.
func (c *tlsCertificate) reloadIfChanged() {
	changed, err := c.read()
	switch {
	case err != nil:
		c.log.Error("the certificate cannot be read again; the one before is used on", "error", err)
	case changed:
		c.log.Info("the certificate was replaced", "serial", c.pair.Leaf.SerialNumber.String(), "until", c.pair.Leaf.NotAfter)
	}
}

// statEvery is how often handshakes look at the files at most.
const statEvery = 10 * time.Second

// get is the certificate for a handshake.
func (c *tlsCertificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) >= statEvery {
		c.reloadIfChanged()
	}
	return c.pair, nil
}

// reloadOnHangup looks at the files whenever the service gets SIGHUP, which would end it
// otherwise, and by systemd's measure in good order.
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
			c.reloadIfChanged()
			c.mu.Unlock()
		}
	}
}
