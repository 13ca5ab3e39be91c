//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server that is measured.
type process struct {
	name    string
	address string
	command *exec.Cmd
	output  string // the file with its standard error: an access log, or what went wrong
}

// start starts a server and waits until it accepts connections. nginx cannot listen on
// port 0, so every server gets a port that was free a moment ago.
func (b *bench) start(ctx context.Context, name string, command func(address string) (*exec.Cmd, error)) (*process, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &process{name: name, address: listener.Addr().String(), output: filepath.Join(b.dir, name+".log")}
	if err := listener.Close(); err != nil {
		return nil, err
	}
	if p.command, err = command(p.address); err != nil {
		return nil, err
	}
	output, err := os.Create(p.output)
	if err != nil {
		return nil, err
	}
	defer output.Close()
	p.command.Stderr = output
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for range 2400 { // two minutes: the machine may be busy
		if c, err := net.Dial("tcp", p.address); err == nil {
			return p, c.Close()
		}
		if ctx.Err() != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	p.stop()
	said, _ := os.ReadFile(p.output) // only for the message
	return nil, fmt.Errorf("%s is not responding: %s", name, said)
}

func (p *process) url() string { return "http://" + p.address }

// stop ends the server, by force if it has not ended after 5 s.
func (p *process) stop() {
	_ = p.command.Process.Signal(syscall.SIGTERM) // it may have ended already
	late := time.AfterFunc(5*time.Second, func() { _ = p.command.Process.Kill() })
	_ = p.command.Wait() // its exit status does not matter
	late.Stop()
}

// cpu returns the processor time that the server and its children have used.
func (p *process) cpu() (time.Duration, error) { return cpuOf(p.command.Process.Pid) }

// cpuOf returns the processor time of a process and its children from /proc (proc(5)),
// whose times are in hundredths of a second.
func cpuOf(pid int) (total time.Duration, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	for _, field := range fields[11:13] { // utime, stime
		ticks, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(ticks) * 10 * time.Millisecond
	}
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	for child := range strings.FieldsSeq(string(children)) {
		n, err := strconv.Atoi(child)
		if err != nil {
			return 0, err
		}
		used, err := cpuOf(n)
		if err != nil {
			return 0, err
		}
		total += used
	}
	return total, nil
}

// peak returns the most memory that the server has had resident, in bytes.
func (p *process) peak() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib int64
	_, err = fmt.Sscan(rest, &kib)
	return kib << 10, err
}
