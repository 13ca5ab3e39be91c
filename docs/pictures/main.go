// Command pictures retakes the screenshots in README.md: it runs the demo, visits its
// pages in a headless Chromium as a newcomer would, and saves the screenshots in
// docs/pictures. Run it with make pictures, from the top folder.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

const (
	folder   = "docs/pictures"
	width    = 1280
	scale    = 1.25    // pixels of the screenshot per pixel of the page
	maxBytes = 200_000 // of a screenshot
	patience = 8 * time.Minute
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

// run starts the demo and a browser, and takes the pictures.
func run(ctx context.Context) error {
	link, stop, err := startDemo(ctx)
	if err != nil {
		return err
	}
	defer stop()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-US"),
		chromedp.Flag("hide-scrollbars", true), chromedp.Flag("autoplay-policy", "no-user-gesture-required"))
	if path, err := exec.LookPath("chromium"); err == nil {
		options = append(options, chromedp.ExecPath(path))
	}
	ctx, cancel := chromedp.NewExecAllocator(ctx, options...)
	defer cancel()
	ctx, cancel = chromedp.NewContext(ctx)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(link), chromedp.WaitReady(".results")); err != nil { // the browser lives as long as this ctx
		return err
	}
	b := &browser{ctx}
	for _, picture := range []func() error{b.search, b.player, b.calendar} {
		if err := picture(); err != nil {
			return err
		}
	}
	return nil
}

var welcome = regexp.MustCompile(`http\S+/welcome/\S+`)

// startDemo starts the demo, and returns the sign-in link that it prints.
func startDemo(ctx context.Context) (link string, stop func(), err error) {
	program := filepath.Join(os.TempDir(), fmt.Sprintf("callvault-pictures-%d", os.Getpid()))
	build := exec.CommandContext(ctx, "go", "build", "-o", program, "./cmd/callvault")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return "", nil, fmt.Errorf("build the program: %w", err)
	}
	demo := exec.CommandContext(ctx, program, "demo", "--listen", "127.0.0.1:0")
	out, err := demo.StdoutPipe()
	if err == nil {
		err = demo.Start()
	}
	if err != nil {
		return "", nil, errors.Join(err, os.Remove(program))
	}
	stop = func() {
		_ = demo.Process.Signal(os.Interrupt) // so that it removes its folder
		_ = demo.Wait()
		_ = os.Remove(program)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if link = welcome.FindString(lines.Text()); link != "" {
			go func() { // it prints on
				for lines.Scan() {
				}
			}()
			return link, stop, nil
		}
	}
	stop()
	return "", nil, errors.New("the demo ended without a link")
}

// browser is a Chromium in which the newcomer is signed in.
type browser struct{ ctx context.Context }

// do runs scripts in the page one after the other, each until its value is true.
func (b *browser) do(scripts ...string) error {
	for _, script := range scripts {
		for {
			done, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](script))
			if err == nil && done {
				break
			}
			select {
			case <-b.ctx.Done():
				return fmt.Errorf("the script did not become true: %s: %w", script, errors.Join(err, b.ctx.Err()))
			case <-time.After(200 * time.Millisecond):
			}
		}
	}
	return nil
}

// view says which page to show, and how.
type view struct {
	path, scheme string // scheme is light or dark
	height       int64
}

// show goes to a page.
func (b *browser) show(v view) error {
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: v.scheme}}})
	if err != nil {
		return err
	}
	at, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("location.origin"))
	if err != nil {
		return err
	}
	return chromedp.Do(b.ctx, chromedp.EmulateViewport(width, v.height, chromedp.EmulateScale(scale)), chromedp.Navigate(at+v.path))
}

// take saves what the browser shows as a screenshot.
func (b *browser) take(name string) error {
	const font = `document.documentElement.style.setProperty("--sans", "Inter, system-ui, sans-serif"), scrollTo(0, 0), true`
	if err := b.do(font, `document.fonts.status === "loaded"`); err != nil {
		return err
	}
	picture, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil && len(picture) > maxBytes {
		err = fmt.Errorf("%s has %d bytes; %d are allowed", name, len(picture), maxBytes)
	}
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, name), picture, 0o644)
}

// search shows the calls of one agent.
func (b *browser) search() error {
	if err := b.show(view{"/recordings?party=porter", "light", 720}); err != nil {
		return err
	}
	return b.take("search.png")
}

// player shows a call of several recordings, half of it played.
func (b *browser) player() error {
	if err := b.show(view{"/recordings?tenant=dunmarrow-dental&skill=Insurance", "dark", 760}); err != nil {
		return err
	}
	err := b.do(
		`document.querySelector(".result-link").click(), true`,
		`!!document.querySelector(".player.drawn")`,
		`document.querySelector("audio").currentTime = 15, document.querySelector("[data-part=play]").click(), true`,
		`document.querySelector("audio").currentTime > 16`,
		`document.querySelector("audio").pause(), true`,
	)
	if err != nil {
		return err
	}
	return b.take("player.png")
}

// calendar shows a tenant's month, and one of its days.
func (b *browser) calendar() error {
	day := time.Now().AddDate(0, 0, -12)
	if err := b.show(view{"/completeness/eased/acme-ns?day=" + day.Format(time.DateOnly), "light", 960}); err != nil {
		return err
	}
	return b.take("calendar.png")
}
