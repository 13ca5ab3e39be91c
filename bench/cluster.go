//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	clusterListTarget = 400 // MB/s
	s3Target          = 0.8 // of a bare proxy
	nodesTarget       = 0.95
	clusterClients    = 32 // at once: the S3 server on the same machine is the bottleneck
)

// clustered measures callvault over PostgreSQL and S3: audio beside a bare proxy in front
// of S3, three services beside one, the list, and the decisions of the request limit.
func clustered(ctx context.Context, b *bench) error {
	return errors.Join(overPostgreSQL((*bench).clusterAudio)(ctx, b), overPostgreSQL((*bench).clusterList)(ctx, b), clusterDecisions(ctx, b))
}

// overPostgreSQL runs a measurement over a PostgreSQL server of its own.
func overPostgreSQL(part func(*bench, context.Context, *postgreSQL) error) func(context.Context, *bench) error {
	return func(ctx context.Context, b *bench) error {
		server, err := b.startPostgreSQL(ctx, "shared_buffers=512MB", "max_connections=200", "synchronous_commit=off")
		if err != nil {
			return err
		}
		defer server.stop()
		return part(b, ctx, server)
	}
}

func clusterDecisions(ctx context.Context, _ *bench) error {
	table("decisions over PostgreSQL, 32 at once, and what one UPDATE of a row takes: go test -bench, target ≥ 20,000 decisions/s")
	command := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^Benchmark(SharedAdmit|BareUpdate)$", "-benchtime", "3s", "./meter")
	command.Stdout, command.Stderr = os.Stdout, os.Stderr
	return command.Run()
}

// node starts a service over the database and the store.
func (b *bench) node(ctx context.Context, name string, l *loaded, store *process) (*process, error) {
	return b.start(ctx, name, func(address string) (*exec.Cmd, error) {
		args := []string{"serve", "--data", l.dir, "--database", l.database, "--listen", address}
		if store != nil {
			args = append(args, "--audio", audioURL(store))
		}
		return exec.Command(b.callvault, args...), nil
	})
}

// clusterAudio fills a data folder, moves it into PostgreSQL and S3, and measures requests
// for its audio there.
func (b *bench) clusterAudio(ctx context.Context, server *postgreSQL) error {
	store, err := b.startS3(ctx)
	if err != nil {
		return err
	}
	defer store.stop()
	l, err := b.load(ctx, "clustered", func(l *loading) error { return l.withAudio(workingSet) })
	if err != nil {
		return err
	}
	files, err := audioFiles(l)
	if err != nil {
		return err
	}
	l.database, err = server.database("audio")
	if err != nil {
		return err
	}
	move := exec.CommandContext(ctx, b.callvault, "move", "--from", l.dir, "--to-database", l.database, "--to-audio", audioURL(store))
	if said, err := move.CombinedOutput(); err != nil {
		return fmt.Errorf("move: %w: %s", err, said)
	}
	var nodes []*process
	for i := range 3 {
		p, err := b.node(ctx, fmt.Sprintf("callvault %d", i+1), l, store)
		if err != nil {
			return err
		}
		defer p.stop()
		nodes = append(nodes, p)
	}
	bare, err := b.proxy(ctx, store)
	if err != nil {
		return err
	}
	defer bare.stop()
	one, err := b.balancer(ctx, "balancer of 1", nodes[:1])
	if err != nil {
		return err
	}
	defer one.stop()
	three, err := b.balancer(ctx, "balancer of 3", nodes)
	if err != nil {
		return err
	}
	defer three.stop()

	var objects, api []ask
	for i := range l.recordings {
		r := &l.recordings[i]
		objects = append(objects, ask{"/" + files[r.RecordingKey], r.Size, 0})
		api = append(api, ask{"/rest/api/v2/recordings/" + r.TenantName + "/" + r.RecordingKey + "/audio", r.Size, 0})
	}
	servers := []*process{bare, nodes[0], one, three}
	loads := make([][]load, len(servers))
	for round := range b.rounds + 1 {
		for i, p := range servers {
			asks := api
			if p == bare {
				asks = objects
			}
			t, err := b.newTarget(p, "cluster", l.key, asks)
			if err != nil {
				return err
			}
			t.clients = clusterClients
			got, err := b.measure(ctx, t, b.length, leastBytes)
			if err != nil {
				return err
			}
			if round > 0 { // the first is a warm-up
				loads[i] = append(loads[i], got)
			}
		}
	}
	printCluster(servers, loads)
	return nil
}

func printCluster(servers []*process, loads [][]load) {
	perSecond, cpu := make([][]float64, len(servers)), make([][]float64, len(servers))
	rows := [][]string{{"server", "requests/s", "CPU µs/request"}}
	for i, p := range servers {
		for _, one := range loads[i] {
			perSecond[i], cpu[i] = append(perSecond[i], one.perSecond), append(cpu[i], one.cpu)
		}
		rows = append(rows, []string{p.name, show(median(perSecond[i])), show(median(cpu[i]))})
	}
	table(fmt.Sprintf("audio from S3, over PostgreSQL: %d recordings, %d connections", workingSet, clusterClients), rows...)
	table("", targetHeader,
		atLeast("requests/s ÷ minio-go proxy", ratios(perSecond[1], perSecond[0]), s3Target, ""),
		reference("  CPU ÷ minio-go proxy", ratios(cpu[1], cpu[0]), ""),
		atLeast("three services ÷ one, behind a balancer", ratios(perSecond[3], perSecond[2]), nodesTarget, ""))
}

// clusterList measures a list of as many recordings as the benchmark list reads from SQLite.
func (b *bench) clusterList(ctx context.Context, server *postgreSQL) error {
	database, err := server.database("list")
	if err != nil {
		return err
	}
	l, err := b.loadInto(ctx, place{filepath.Join(b.dir, "clustered-list"), database}, func(l *loading) error { return l.rowsOnly(listed) })
	if err != nil {
		return err
	}
	service, err := b.node(ctx, "callvault", l, nil)
	if err != nil {
		return err
	}
	defer service.stop()
	var rates, firsts, cpu []float64
	for range b.rounds {
		before, err := service.cpu()
		if err != nil {
			return err
		}
		got, err := fetch(ctx, service.url()+"/rest/api/v2/recordings?startTime=2026-01-01T00:00:00Z&endTime=2026-02-01T00:00:00Z", l.key, io.Discard)
		if err != nil {
			return err
		}
		after, err := service.cpu()
		if err != nil {
			return err
		}
		rates, firsts, cpu = append(rates, got.rate), append(firsts, got.first), append(cpu, (after-before).Seconds()*1000)
	}
	peak, err := service.peak()
	if err != nil {
		return err
	}
	table(fmt.Sprintf("list of %d recordings over HTTP, over PostgreSQL", listed), targetHeader,
		atLeast("recordings", rates, clusterListTarget, " MB/s"),
		below("  first byte", firsts, 5, " ms"),
		reference("  processor time of the service", cpu, " ms"),
		below("most memory resident", []float64{float64(peak) / 1e6}, 100, " MB"))
	return nil
}

// balancerConfig is deploy/nginx.conf reduced to what is measured.
const balancerConfig = `%s
daemon off;
worker_processes auto;
pid %[2]s.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
	access_log off;
	keepalive_requests 1000000000;
	client_body_temp_path %[2]s-body;
	proxy_temp_path %[2]s-proxy;
	fastcgi_temp_path %[2]s-fastcgi;
	uwsgi_temp_path %[2]s-uwsgi;
	scgi_temp_path %[2]s-scgi;
	upstream callvault { least_conn; keepalive 256; %[4]s }
	server {
		listen %[3]s;
		location / {
			proxy_pass http://callvault;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_buffering off;
		}
	}
}
`

// balancer starts an nginx that spreads requests over nodes.
func (b *bench) balancer(ctx context.Context, name string, nodes []*process) (*process, error) {
	return b.start(ctx, name, func(address string) (*exec.Cmd, error) {
		user, upstream := "", ""
		if os.Getuid() == 0 {
			user = "user root;"
		}
		for _, node := range nodes {
			upstream += "server " + node.address + "; "
		}
		stem := filepath.Join(b.dir, strings.ReplaceAll(name, " ", "-"))
		text := fmt.Sprintf(balancerConfig, user, stem, address, upstream)
		return exec.Command("nginx", "-p", b.dir, "-e", "stderr", "-c", stem+".conf"), os.WriteFile(stem+".conf", []byte(text), 0o600)
	})
}
