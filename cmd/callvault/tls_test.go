//go:build unix

package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// certify makes a certificate for 127.0.0.1 and its key, in PEM.
func certify(t *testing.T, serial int64) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// servingTLS starts a service with a certificate, and returns the names of its files.
func servingTLS(t *testing.T, data string, certificate, key []byte) (p *process, certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := errors.Join(os.WriteFile(certFile, certificate, 0o600), os.WriteFile(keyFile, key, 0o600)); err != nil {
		t.Fatal(err)
	}
	return serving(t, data, "--tls-cert", certFile, "--tls-key", keyFile), certFile, keyFile
}

// TestTLS serves with a self-signed certificate.
func TestTLS(t *testing.T) {
	t.Parallel()
	data, key, path := vaultWithOne(t)
	certificate, private := certify(t, 1)
	p, _, _ := servingTLS(t, data, certificate, private)
	if !strings.HasPrefix(p.url, "https://") {
		t.Errorf("url %s", p.url)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	for _, http2 := range []bool{false, true} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: http2}}
		answer, err := client.Do(request(t, "GET", p.url+path, key, nil))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != 200 || !bytes.Equal(body, sampleClips(1)[0]) || (answer.ProtoMajor == 2) != http2 {
			t.Errorf("%s %d, %d bytes, %v", answer.Proto, answer.StatusCode, len(body), err)
		}
		client.CloseIdleConnections()
	}
	stop(t, p)
}

// TestCertificateRenewed: a service picks up a certificate that replaces its own, and
// keeps the one it has while the files do not match.
func TestCertificateRenewed(t *testing.T) {
	t.Parallel()
	certificate, key := certify(t, 1)
	renewed, renewedKey := certify(t, 2)
	p, certFile, keyFile := servingTLS(t, filepath.Join(t.TempDir(), "data"), certificate, key)
	serial := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", strings.TrimPrefix(p.url, "https://"), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	replace := func(name string, content []byte, msg string) {
		t.Helper()
		if err := errors.Join(os.WriteFile(name+".new", content, 0o600), os.Rename(name+".new", name), p.Process.Signal(syscall.SIGHUP)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "logged: "+msg, func() bool {
			_, said := p.said.Load(msg)
			return said
		})
	}
	before := serial()
	replace(certFile, renewed, "the certificate cannot be read again; the one before stays in use")
	between := serial()
	replace(keyFile, renewedKey, "the certificate was replaced")
	if after := serial(); before != 1 || between != 1 || after != 2 {
		t.Errorf("serial numbers %d, %d between, %d after", before, between, after)
	}
	stop(t, p)
}

// TestHandshakesLookAtTheCertificate: a certificate is picked up without a signal.
func TestHandshakesLookAtTheCertificate(t *testing.T) {
	dir := t.TempDir()
	names := [2]string{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	var c *tlsCertificate
	for i := range 2 {
		certificate, key := certify(t, int64(i))
		err := errors.Join(os.WriteFile(names[0], certificate, 0o600), os.WriteFile(names[1], key, 0o600))
		if err == nil && c == nil {
			c, err = readCertificate(names[0], names[1], warningLog())
		}
		if err != nil {
			t.Fatal(err)
		}
		c.looked = c.looked.Add(-statEvery)
		pair, err := c.get(nil)
		if err != nil || pair.Leaf.SerialNumber.Int64() != int64(i) {
			t.Errorf("certificate %d: %v, %v", i, pair.Leaf.SerialNumber, err)
		}
	}
}

// TestCertificateAfterAFailure: after a failure the files are read again even if they look
// the same: what was wrong, such as their permissions, need not show in their times.
func TestCertificateAfterAFailure(t *testing.T) {
	dir := t.TempDir()
	names := [2]string{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	then := time.Now().Add(-time.Minute)
	write := func(certificate, key []byte) {
		t.Helper()
		for i, content := range [][]byte{certificate, key} {
			if err := errors.Join(os.WriteFile(names[i], content, 0o600), os.Chtimes(names[i], then, then)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(certify(t, 1))
	var log strings.Builder
	c, err := readCertificate(names[0], names[1], slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() int64 {
		c.looked = c.looked.Add(-statEvery)
		pair, _ := c.get(nil)
		return pair.Leaf.SerialNumber.Int64()
	}
	then = then.Add(time.Second)
	certificate, key := certify(t, 2)
	write(bytes.Repeat([]byte("?"), len(certificate)), key)
	if first, second := serial(), serial(); first != 1 || second != 1 || strings.Count(log.String(), "level=ERROR") != 1 {
		t.Errorf("serial numbers %d and %d while the files are bad; log %q", first, second, &log)
	}
	write(certificate, key)
	if got := serial(); got != 2 {
		t.Errorf("serial number %d once the files are good, want 2", got)
	}
	if got := serial(); got != 2 || strings.Count(log.String(), "was replaced") != 1 {
		t.Errorf("serial number %d when nothing has changed since; log %q", got, &log)
	}
}
