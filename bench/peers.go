//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// nginxConfig lets nginx serve files as fast as it can, with a request log, as callvault
// has one.
const nginxConfig = `%s
worker_processes auto;
daemon off;
pid %[2]s/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
	types { audio/ogg opus; application/json json; }
	sendfile on;
	tcp_nopush on;
	keepalive_requests 1000000000;
	client_body_temp_path %[2]s/nginx-body;
	proxy_temp_path %[2]s/nginx-proxy;
	fastcgi_temp_path %[2]s/nginx-fastcgi;
	uwsgi_temp_path %[2]s/nginx-uwsgi;
	scgi_temp_path %[2]s/nginx-scgi;
	access_log %[2]s/nginx-access.log;
	server { listen %[3]s; root %[4]s; }
}
`

// nginx starts an nginx that serves the files below dir.
func (b *bench) nginx(ctx context.Context, dir string) (*process, error) {
	return b.start(ctx, "nginx", func(address string) (*exec.Cmd, error) {
		user := ""
		if os.Getuid() == 0 {
			user = "user root;" // who owns these folders
		}
		config := filepath.Join(b.dir, "nginx.conf")
		text := fmt.Sprintf(nginxConfig, user, b.dir, address, dir)
		return exec.Command("nginx", "-p", b.dir, "-e", "stderr", "-c", config), os.WriteFile(config, []byte(text), 0o600)
	})
}

const caddyConfig = `{
	admin off
	auto_https off
	storage file_system %[1]s/caddy
}
http://%[2]s {
	root * %[3]s
	file_server
	log {
		output file %[1]s/caddy-access.log {
			roll_disabled
		}
	}
}
`

// caddy starts a Caddy that serves the files below dir.
func (b *bench) caddy(ctx context.Context, dir string) (*process, error) {
	return b.start(ctx, "caddy", func(address string) (*exec.Cmd, error) {
		config := filepath.Join(b.dir, "Caddyfile")
		text := fmt.Sprintf(caddyConfig, b.dir, address, dir)
		command := exec.Command("caddy", "run", "--adapter", "caddyfile", "--config", config)
		command.Env = append(os.Environ(), "HOME="+b.dir)
		return command, os.WriteFile(config, []byte(text), 0o600)
	})
}

// bare starts a server that serves the files below dir with Go's http.ServeContent alone.
func (b *bench) bare(ctx context.Context, dir string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return b.start(ctx, "bare", func(address string) (*exec.Cmd, error) {
		return exec.Command(self, "bare", address, dir), nil
	})
}

func serveBare(address, dir string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, err := os.Open(filepath.Join(dir, filepath.FromSlash(r.URL.Path)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer file.Close()
		w.Header().Set("Content-Type", "audio/ogg; codecs=opus")
		http.ServeContent(w, r, "", time.Time{}, file)
	})
	return server.Serve(listener)
}
