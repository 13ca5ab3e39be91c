//go:build linux

package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postgreSQL is a PostgreSQL server for the benchmarks. It does not sync: only reading is
// measured.
type postgreSQL struct {
	dir     string
	command *exec.Cmd
}

// startPostgreSQL makes a database cluster in a folder and starts its server, as nobody if
// the caller is root, as whom PostgreSQL refuses to run.
func (b *bench) startPostgreSQL(ctx context.Context, settings ...string) (*postgreSQL, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return nil, errors.New("PostgreSQL is not installed here (apt-get install postgresql)")
	}
	slices.Sort(found)
	binaries := filepath.Dir(found[len(found)-1])
	p := &postgreSQL{dir: filepath.Join(b.dir, "postgresql")}
	if err := os.Mkdir(p.dir, 0o700); err != nil {
		return nil, err
	}
	as := &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT} // a fast shutdown
	if os.Getuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			return nil, err
		}
		id, err := strconv.Atoi(nobody.Uid)
		if err != nil {
			return nil, err
		}
		as.Credential = &syscall.Credential{Uid: uint32(id), Gid: uint32(id)}
		if err := errors.Join(os.Chmod(b.dir, 0o711), os.Chown(p.dir, id, id)); err != nil {
			return nil, err
		}
	}
	initdb := exec.CommandContext(ctx, filepath.Join(binaries, "initdb"), "-D", filepath.Join(p.dir, "data"), "-U", "callvault",
		"--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	initdb.Dir, initdb.SysProcAttr = p.dir, as
	if said, err := initdb.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, said)
	}
	args := []string{"-D", filepath.Join(p.dir, "data"), "-k", p.dir, "-c", "listen_addresses=", "-c", "fsync=off"}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	p.command = exec.Command(filepath.Join(binaries, "postgres"), args...)
	p.command.Dir, p.command.SysProcAttr = p.dir, as
	if err := p.command.Start(); err != nil {
		return nil, err
	}
	if err := p.await(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *postgreSQL) url() string {
	return "postgres:///postgres?" + url.Values{"host": {p.dir}, "user": {"callvault"}}.Encode()
}

// database makes another database and returns its URL.
func (p *postgreSQL) database(name string) (string, error) {
	db, err := sql.Open("pgx", p.url())
	if err != nil {
		return "", err
	}
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		return "", err
	}
	return strings.Replace(p.url(), "/postgres?", "/"+name+"?", 1), nil
}

// await waits until the server answers.
func (p *postgreSQL) await(ctx context.Context) error {
	db, err := sql.Open("pgx", p.url())
	if err != nil {
		return err
	}
	defer db.Close()
	for range 600 {
		if err = db.PingContext(ctx); err == nil || ctx.Err() != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("PostgreSQL is not responding: %w", err)
}

// stop ends the server at once, even with clients connected, and removes its folder.
func (p *postgreSQL) stop() {
	_ = p.command.Process.Signal(syscall.SIGINT) // it may have ended already
	_ = p.command.Wait()                         // its exit status does not matter
	_ = os.RemoveAll(p.dir)                      // what is left goes with the temporary folder
}
