//go:build unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"callvault/audio"
)

// serving starts a service on a data folder, and kills it at the end of the test
// if it still runs.
func serving(t *testing.T, data string, args ...string) *process {
	t.Helper()
	p, err := start(command(append([]string{"serve", "--data", data, "--listen", "127.0.0.1:0"}, args...)...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// request makes a request with a key.
func request(t *testing.T, method, url, key string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+key)
	return r
}

// fetch sends a request and reads the whole answer.
func fetch(t *testing.T, client *http.Client, r *http.Request) (status int, body []byte) {
	t.Helper()
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err = io.ReadAll(answer.Body); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, body
}

// vaultWithOne makes a data folder with a tenant, a user and one recording, and
// returns the user's key and the recording's audio path.
func vaultWithOne(t *testing.T) (data, key, path string) {
	t.Helper()
	data = filepath.Join(t.TempDir(), "data")
	file := filepath.Join(t.TempDir(), "one.opus")
	if err := errors.Join(os.WriteFile(file, sampleClips(1)[0], 0o600),
		os.WriteFile(strings.TrimSuffix(file, "opus")+"json", []byte(`{"recordingKey":"one","startTime":1707770449131}`), 0o600)); err != nil {
		t.Fatal(err)
	}
	must(t, data, "tenant", "add", "acme-ns", "--request-limit", "off")
	key = must(t, data, "user", "add", "robot", "--all-tenants", "--can", "read,write", "--request-limit", "off")
	must(t, data, "import", "--tenant", "acme-ns", file)
	return data, key, "/rest/api/v2/recordings/acme-ns/one/audio"
}

// TestStopFinishesADownload stops a service in the middle of a download, which must
// finish. New connections are refused meanwhile.
func TestStopFinishesADownload(t *testing.T) {
	t.Parallel()
	data, key, path := vaultWithOne(t)
	p := serving(t, data)
	address := strings.TrimPrefix(p.url, "http://")
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4096) })
	}}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET %s?format=wav HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", path, key)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	eventually(t, "without new connections while it stops", func() bool {
		other, err := net.Dial("tcp", address)
		if err == nil {
			other.Close()
		}
		return err != nil
	})
	body, err := io.ReadAll(answer.Body)
	if err != nil || int64(len(body)) != answer.ContentLength {
		t.Errorf("%d of %d bytes, %v", len(body), answer.ContentLength, err)
	}
	if err := p.wait(); err != nil {
		t.Errorf("the service ends with %v", err)
	}
	if usage := must(t, data, "tenant", "usage", "acme-ns", "--json"); !strings.Contains(usage, fmt.Sprintf(`"used": %d`, len(body))) {
		t.Errorf("usage after the stop: %s, want %d", usage, len(body))
	}
}

// upload makes the body of an upload of a clip under a key.
func upload(key string, clip []byte) (body *bytes.Buffer, contentType string) {
	body = &bytes.Buffer{}
	form := multipart.NewWriter(body)
	recording, _ := form.CreateFormField("recording") // a buffer never fails
	fmt.Fprintf(recording, `{"recordingKey":%q,"startTime":1707770449131}`, key)
	file, _ := form.CreateFormFile("audio", "x.opus")
	_, _ = file.Write(clip)
	form.Close()
	return body, form.FormDataContentType()
}

// TestKilledServiceLosesNothing kills services in the middle of uploads. What was
// acknowledged is there afterwards, and nothing half-written counts.
func TestKilledServiceLosesNothing(t *testing.T) {
	t.Parallel()
	data, key, _ := vaultWithOne(t)
	clip := sampleClips(1)[0]
	var mu sync.Mutex
	acknowledged := map[string]bool{"one": true}
	for round := range 3 {
		p := serving(t, data)
		var senders sync.WaitGroup
		for sender := range 4 {
			senders.Go(func() {
				for i := 0; ; i++ {
					name := fmt.Sprintf("r%d-s%d-%d", round, sender, i)
					body, contentType := upload(name, clip)
					r, err := http.NewRequest("POST", p.url+"/rest/api/v2/recordings/acme-ns", body)
					if err != nil {
						panic(err)
					}
					r.Header.Set("Authorization", "Bearer "+key)
					r.Header.Set("Content-Type", contentType)
					answer, err := http.DefaultClient.Do(r)
					if err != nil {
						return
					}
					answer.Body.Close()
					if answer.StatusCode == 201 {
						mu.Lock()
						acknowledged[name] = true
						mu.Unlock()
					}
				}
			})
		}
		eventually(t, "acknowledged", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(acknowledged) >= 10*(round+1)+round
		})
		_ = p.Process.Kill()
		senders.Wait()
		_ = p.wait()
	}
	p := serving(t, data)
	status, body := fetch(t, http.DefaultClient, request(t, "GET", p.url+"/rest/api/v2/recordings?startTime=2024-02-12T00:00Z&endTime=2024-02-13T00:00Z", key, nil))
	var list []struct{ RecordingKey string }
	if err := json.Unmarshal(body, &list); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	for _, r := range list {
		delete(acknowledged, r.RecordingKey)
		if status, body := fetch(t, http.DefaultClient, request(t, "GET", p.url+"/rest/api/v2/recordings/acme-ns/"+r.RecordingKey+"/audio", key, nil)); status != 200 || !bytes.Equal(body, clip) {
			t.Errorf("%s: %d, %d bytes", r.RecordingKey, status, len(body))
		}
	}
	if len(acknowledged) > 0 {
		t.Errorf("acknowledged and lost: %v", acknowledged)
	}
	stdout, _, _ := runOn(t, data, "verify")
	for line := range strings.Lines(stdout) {
		if !strings.Contains(line, "rebuild takes it in") && !strings.Contains(line, "a crash leaves so") && !strings.Contains(line, " read, ") {
			t.Errorf("verify says: %s", line) // a crash may only leave blobs without a row, or audio alone
		}
	}
}

// TestSecondSignal: a service that is told to stop twice does not wait for what is under
// way.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	data, key, _ := vaultWithOne(t)
	p := serving(t, data)
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST /rest/api/v2/recordings/acme-ns HTTP/1.1\r\nHost: callvault\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n", key)
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("the upload is answered %q, %v", line, err)
	}
	for ended := false; !ended; {
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		select {
		case <-p.log:
			ended = true
		case <-time.After(100 * time.Millisecond):
		}
	}
	_ = p.Cmd.Wait()
	if status, is := p.ProcessState.Sys().(syscall.WaitStatus); !is || !status.Signaled() {
		t.Errorf("it ended with %s, want the second signal", p.ProcessState)
	}
}

func TestWarningBeyondLoopback(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]bool{"0.0.0.0:0": true, "127.0.0.1:0": false} {
		data := filepath.Join(t.TempDir(), "data")
		p := serving(t, data, "--listen", listen)
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		log := <-p.log
		if err := p.Cmd.Wait(); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(log, `"level":"WARN"`) && strings.Contains(log, "plain HTTP"); got != want {
			t.Errorf("%s: warned %t, want %t:\n%s", listen, got, want, log)
		}
	}
}

// TestDemo runs the demo and the requests that it prints, and ends it.
func TestDemo(t *testing.T) {
	t.Parallel()
	c := command("demo", "--listen", "127.0.0.1:0")
	c.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	var stderr bytes.Buffer
	c.Stderr = &stderr
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill() })
	var text strings.Builder
	lines := bufio.NewScanner(stdout)
	for lines.Scan() && !strings.Contains(lines.Text(), "Ctrl-C") {
		text.WriteString(lines.Text() + "\n")
	}
	key := regexp.MustCompile(`KEY=(\S+)`).FindStringSubmatch(text.String())
	urls := regexp.MustCompile(`curl .*'(http://[^']+)'`).FindAllStringSubmatch(text.String(), -1)
	if key == nil || len(urls) != 3 {
		t.Fatalf("the demo prints\n%s%s", text.String(), stderr.String())
	}
	openLink(t, text.String())
	for i, url := range urls {
		status, body := fetch(t, http.DefaultClient, request(t, "GET", url[1], key[1], nil))
		if status != 200 {
			t.Errorf("%s: %d %s", url[1], status, body)
		}
		var list []json.RawMessage
		if i < 2 && (json.Unmarshal(body, &list) != nil || len(list) == 0) {
			t.Errorf("%s: %.300s", url[1], body)
		}
		if info, err := audio.Check(bytes.NewReader(body)); i == 2 && (err != nil || info.Channels != 1 || info.InputRate != 8000) {
			t.Errorf("the audio: %+v, %v", info, err)
		}
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(stdout)
	if err := errors.Join(err, c.Wait()); err != nil || stderr.Len() > 0 {
		t.Errorf("the demo ends with %v\n%s%s", err, rest, stderr.String())
	}
	if left, _ := filepath.Glob(filepath.Join(c.Env[len(c.Env)-1][len("TMPDIR="):], "callvault-demo-*")); len(left) > 0 {
		t.Errorf("the demo leaves %q", left)
	}
}

// A demo goes on in the folder of one that was killed as soon as it had an archive, and in
// no other that has one.
func TestDemoFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	t.Setenv("CALLVAULT_DATA", dir)
	o := &options{place: place{data: dir}}
	for _, state := range []string{"a new folder", "the folder of a demo that was killed"} {
		if got, _, err := demoFolder(demoCommand(o), o); err != nil || got != dir {
			t.Errorf("%s: %q, %v", state, got, err)
		}
		if err := os.WriteFile(filepath.Join(dir, "callvault.db"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, demoSource)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := demoFolder(demoCommand(o), o); err == nil {
		t.Error("the folder of another archive is taken")
	}
}

// openLink follows the link that the demo prints to the recordings, as a browser does.
func openLink(t *testing.T, text string) {
	t.Helper()
	link := regexp.MustCompile(`http://\S+/welcome/\S+`).FindString(text)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest("GET", link, nil)
	if err != nil {
		t.Fatal(err)
	}
	status, body := fetch(t, &http.Client{Jar: jar}, r)
	if status != 200 || !bytes.Contains(body, []byte("newcomer")) || !bytes.Contains(body, []byte(`href="/recordings/acme-ns/`)) {
		t.Errorf("the link %q leads to %d %.2000s", link, status, body)
	}
}

// TestInterruptedImport stops an import of many files: it exits with 130, what was imported
// is whole, and the next import does the rest.
func TestInterruptedImport(t *testing.T) {
	t.Parallel()
	if _, err := audio.Library(); err != nil {
		if os.Getenv("CALLVAULT_TEST_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	const files, seconds = 60, 30
	dir, data := t.TempDir(), filepath.Join(t.TempDir(), "data")
	for i := range files {
		wav := append([]byte("RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00\x40\x1f\x00\x00\x40\x1f\x00\x00\x01\x00\x08\x00data"), 0, 0, 0, 0)
		n := seconds * 8000
		wav[40], wav[41], wav[42] = byte(n), byte(n>>8), byte(n>>16)
		wav[4], wav[5], wav[6] = byte(n+36), byte((n+36)>>8), byte((n+36)>>16)
		for at := range n {
			wav = append(wav, byte(128+at*(i+3)%71))
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%02d.wav", i)), wav, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	must(t, data, "tenant", "add", "acme-ns")
	c := command("import", "--data", data, "--tenant", "acme-ns", dir)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "at work", func() bool { return heldBelow(data) > 0 })
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); c.ProcessState.ExitCode() != 130 || stderr.String() != "callvault: interrupted\n" {
		t.Errorf("interrupted: %v, %q", err, stderr.String())
	}
	held := heldBelow(data)
	if held == files {
		t.Error("it went on to the last file")
	}
	if stdout, _, status := runOn(t, data, "verify"); status != 0 {
		t.Errorf("verify: %d %s", status, stdout)
	}
	want := fmt.Sprintf("%d recordings added to acme-ns, %d were there already, 0 files not imported", files-held, held)
	if out := must(t, data, "import", "--tenant", "acme-ns", dir); out != want {
		t.Errorf("the next import: %s, want %s", out, want)
	}
}
