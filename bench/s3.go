//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// bucket holds the benchmark's objects, below audio/.
const bucket = "recordings"

// startS3 starts an S3 server over a folder that holds the bucket, and puts its keys into
// the environment.
func (b *bench) startS3(ctx context.Context) (*process, error) {
	program, err := exec.LookPath("versitygw")
	if err != nil {
		home, _ := os.UserHomeDir()
		if program, err = exec.LookPath(filepath.Join(home, "go", "bin", "versitygw")); err != nil {
			return nil, errors.New("there is no S3 server: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
		}
	}
	folder := filepath.Join(b.dir, "s3")
	err = errors.Join(os.MkdirAll(filepath.Join(folder, "meta"), 0o700), os.MkdirAll(filepath.Join(folder, "buckets", bucket), 0o700),
		os.Setenv("AWS_ACCESS_KEY_ID", "bench"), os.Setenv("AWS_SECRET_ACCESS_KEY", "only-to-measure"))
	if err != nil {
		return nil, err
	}
	return b.start(ctx, "s3", func(address string) (*exec.Cmd, error) {
		return exec.Command(program, "--access", "bench", "--secret", "only-to-measure", "--port", address, "--quiet",
			"posix", "--sidecar", filepath.Join(folder, "meta"), filepath.Join(folder, "buckets")), nil
	})
}

// audioURL returns the bucket's address for callvault's flag --audio.
func audioURL(store *process) string {
	return "s3://" + bucket + "/audio?endpoint=" + url.QueryEscape(store.url()) + "&region=us-east-1"
}

// proxy starts the least that can bring objects from S3 to clients.
func (b *bench) proxy(ctx context.Context, store *process) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return b.start(ctx, "minio-go proxy", func(address string) (*exec.Cmd, error) {
		return exec.Command(self, "proxy", address, store.url()), nil
	})
}

// serveProxy passes on the objects of an S3 server and does nothing else.
func serveProxy(address, store string) error {
	connections := &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 256, DisableCompression: true}
	client, err := minio.NewCore(strings.TrimPrefix(store, "http://"), &minio.Options{
		Creds: credentials.NewEnvAWS(), Region: "us-east-1", Transport: connections,
	})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, info, _, err := client.GetObject(r.Context(), bucket, "audio"+r.URL.Path, minio.GetObjectOptions{})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer body.Close()
		w.Header().Set("Content-Type", "audio/ogg; codecs=opus")
		w.Header().Set("Content-Length", strconv.FormatInt(info.Size, 10))
		_, _ = io.Copy(w, body) // an error can only cut the answer short
	})
	return server.Serve(listener)
}
