package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"callvault"
	"callvault/account"
	"callvault/archive"
	"callvault/audio"

	"github.com/spf13/cobra"
)

// exported is the result of an export, as --json prints it.
type exported struct {
	Tenant     string         `json:"tenant"`
	Recordings int            `json:"recordings"`
	Bytes      int64          `json:"bytes"`
	Missing    []missingAudio `json:"missing"`
}

// missingAudio is a recording whose audio could not be exported.
type missingAudio struct {
	RecordingKey string `json:"recordingKey"`
	Reason       string `json:"reason"`
}

func exportCommand(o *options) *cobra.Command {
	var tenant, since, until, to, format string
	c := &cobra.Command{
		Use:   "export --tenant T --since T --until T --to DIR",
		Short: "Write the audio and metadata of a tenant's recordings, for someone else",
		Long: `Write the audio of a tenant's recordings of a period to a folder, with the metadata of each and of its
call as JSON lines (recordings.jsonl), and as a table without the calls (recordings.csv). In the table, an
apostrophe precedes any text that a spreadsheet would take for a formula. Days are those of the tenant's
time zone, or UTC where none is set. An export that was cut short resumes when the same command is run
again: audio that is already there is not written again.

Exit status 3: the audio of some recordings is not held, or is damaged; each is named.`,
		Example: "  callvault export --tenant acme-ns --since 2024-02-01 --until 2024-03-01 --to february --format wav",
		Args:    noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			if tenant == "" || since == "" || until == "" || to == "" {
				return usageError{errors.New("give --tenant T, --since T, --until T and --to DIR")}
			}
			if format != "opus" && format != "wav" {
				return usageError{fmt.Errorf("--format %q is neither opus nor wav", format)}
			}
			return withVault(c.Context(), o, func(v *vault) error {
				site, err := v.accounts.Tenant(c.Context(), tenant)
				if err != nil {
					return err
				}
				zone, err := time.LoadLocation(site.TimeZone)
				if err != nil {
					return err
				}
				span, err := spanIn(zone, since, until)
				if err != nil {
					return err
				}
				e := exporter{vault: v, dir: to, format: format, done: exported{Tenant: tenant, Missing: []missingAudio{}}}
				err = e.run(c.Context(), span)
				recordErr := v.accounts.Record(context.WithoutCancel(c.Context()), account.Event{
					Action: account.ActionExport, Tenant: tenant, Bytes: e.done.Bytes,
					Detail: fmt.Sprintf("%d recordings from %s until %s as %s", e.done.Recordings, since, until, format),
				})
				if err := errors.Join(err, recordErr); err != nil {
					return err
				}
				return e.done.print(c, o)
			})
		},
	}
	c.Flags().StringVar(&tenant, "tenant", "", "the tenant")
	c.Flags().StringVar(&since, "since", "", "recordings that start then or later: a day of the tenant's time zone, or a time with an offset")
	c.Flags().StringVar(&until, "until", "", "recordings that start before then")
	c.Flags().StringVar(&to, "to", "", "the folder to write to")
	c.Flags().StringVar(&format, "format", "opus", "format of the audio: opus or wav")
	return c
}

// exporter writes recordings into a folder.
type exporter struct {
	vault  *vault
	dir    string
	format string
	lines  *os.File
	table  *csv.Writer
	done   exported
}

// columns are the columns of the table: the API's fields, the audio file, and the SHA-256
// of the audio as it is held.
var columns = []string{"recordingKey", "callKey", "startTime", "duration", "size", "eventId", "recordingSystemId", "status", "callingParty",
	"receivingParty", "tenantName", "tagData", "callDirection", "skill", "agent", "file", "sha256"}

func (e *exporter) run(ctx context.Context, span callvault.Span) error {
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return err
	}
	return writeAtomically(filepath.Join(e.dir, "recordings.jsonl"), func(lines *os.File) error {
		return writeAtomically(filepath.Join(e.dir, "recordings.csv"), func(table *os.File) error {
			e.lines, e.table = lines, csv.NewWriter(table)
			e.table.UseCRLF = true // RFC 4180 2.1
			return e.exportAll(ctx, span)
		})
	})
}

// exportAll writes the recordings that start in span.
func (e *exporter) exportAll(ctx context.Context, span callvault.Span) error {
	if err := e.table.Write(columns); err != nil {
		return err
	}
	grant := callvault.Grant{Tenants: []string{e.done.Tenant}}
	for row, err := range e.vault.archive.Recordings(ctx, span, &grant).Rows() {
		if err != nil {
			return err
		}
		var r callvault.Recording
		if err := json.Unmarshal([]byte(row), &r); err != nil {
			return err
		}
		if err := e.export(ctx, &r); err != nil {
			return fmt.Errorf("recording %s: %w", r.RecordingKey, err)
		}
	}
	e.table.Flush()
	return e.table.Error()
}

// writeAtomically writes a file under another name, and renames it once it is whole.
func writeAtomically(path string, write func(*os.File) error) error {
	file, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	if err := errors.Join(write(file), file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return os.Rename(file.Name(), path)
}

// export writes one recording: its audio, if it is held, and its metadata.
func (e *exporter) export(ctx context.Context, r *callvault.Recording) error {
	entry, err := e.vault.archive.Find(ctx, r.TenantName, r.RecordingKey)
	if err != nil {
		return err
	}
	name, sum := "", ""
	if r.Status.HasAudio() {
		name, sum = archive.FileName(r.RecordingKey)+"."+e.format, fmt.Sprintf("%x", entry.SHA256)
		n, err := e.writeAudio(ctx, entry, filepath.Join(e.dir, name))
		if errors.Is(err, callvault.NotFound) || errors.Is(err, errDamaged) || errors.Is(err, audio.ErrUnprocessable) {
			reason := forPeople(err)
			if fault := (*audio.Fault)(nil); errors.As(err, &fault) {
				reason = fault.Finding()
			}
			e.done.Missing = append(e.done.Missing, missingAudio{r.RecordingKey, reason})
			name = ""
		} else if err != nil {
			return err
		}
		e.done.Bytes += n
	} else if !r.Status.Deleted() {
		e.done.Missing = append(e.done.Missing, missingAudio{r.RecordingKey, "its status is " + string(r.Status)})
	}
	e.done.Recordings++
	call, err := e.call(ctx, r)
	if err != nil {
		return err
	}
	line, err := json.Marshal(struct {
		callvault.Recording
		File   string          `json:"file"`
		SHA256 string          `json:"sha256"`
		Call   json.RawMessage `json:"call"`
	}{*r, name, sum, call})
	if err != nil {
		return err
	}
	if _, err := e.lines.Write(append(line, '\n')); err != nil {
		return err
	}
	return e.table.Write(tableRow(r, name, sum))
}

// call returns the JSON of a recording's call without its recordings, which have lines
// of their own, or null if the call is not known.
func (e *exporter) call(ctx context.Context, r *callvault.Recording) (json.RawMessage, error) {
	call, err := e.vault.archive.FindCall(ctx, r.TenantName, r.CallKey, &callvault.Grant{Tenants: []string{r.TenantName}})
	if errors.Is(err, callvault.NotFound) {
		return json.RawMessage("null"), nil
	}
	if err != nil {
		return nil, err
	}
	call.Recordings = nil
	return call.AppendJSON(nil), nil
}

// errDamaged says that audio is not what was stored.
var errDamaged = errors.New("its audio is damaged: callvault verify says how")

// readError returns what an error of opening or reading audio means. Unless the audio is
// missing, its store is away or ctx has ended, the audio is damaged.
func readError(ctx context.Context, err error) error {
	if err == nil || err == io.EOF || ctx.Err() != nil || errors.Is(err, callvault.NotFound) || errors.Is(err, callvault.Unavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", errDamaged, err)
}

// audioReader reads audio. Its errors are those of readError.
type audioReader struct {
	ctx context.Context
	io.ReadSeeker
}

// Read reads a part of the audio.
func (r audioReader) Read(p []byte) (int, error) {
	n, err := r.ReadSeeker.Read(p)
	return n, readError(r.ctx, err)
}

// writeAudio writes a recording's audio and returns how many bytes it has. A file that
// an earlier export left at path stays if it is the same. Of damaged audio (errDamaged)
// nothing is left there.
func (e *exporter) writeAudio(ctx context.Context, entry *archive.Entry, path string) (n int64, err error) {
	opened, err := e.vault.archive.OpenAudio(ctx, entry)
	if err != nil {
		return 0, readError(ctx, err)
	}
	defer opened.Close()
	from := audioReader{ctx, opened}
	sum := sha256.New()
	content, err := e.content(from, sum)
	if err != nil {
		return 0, err
	}
	size, same, err := sameContent(path, content)
	if err != nil {
		return 0, err
	}
	sound := func() bool { return [sha256.Size]byte(sum.Sum(nil)) == entry.SHA256 }
	switch {
	case same && sound():
		return size, nil
	case same:
		return 0, errors.Join(errDamaged, os.Remove(path))
	}
	if content, err = e.content(from, sum); err != nil { // from its beginning
		return 0, err
	}
	err = writeAtomically(path, func(file *os.File) (err error) {
		if n, err = io.Copy(file, content); err == nil && !sound() {
			return errDamaged
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// content returns audio from its beginning, in the format of the export. Once that is
// read, sum is the hash of the audio as it is held.
func (e *exporter) content(from io.ReadSeeker, sum hash.Hash) (io.Reader, error) {
	sum.Reset()
	held := io.TeeReader(from, sum)
	if _, err := from.Seek(0, io.SeekStart); err != nil || e.format != "wav" {
		return held, err
	}
	info, err := audio.Check(held)
	if err != nil {
		return nil, err
	}
	return audio.NewWAV(from, info)
}

// sameContent reports whether the file at path has that content, and its size. The error
// is one of reading the content.
func sameContent(path string, content io.Reader) (size int64, same bool, err error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return 0, false, nil // not there; or perhaps a pipe, which might never open
	}
	file, err := os.Open(path)
	if err != nil {
		return 0, false, nil
	}
	defer file.Close()
	want, there := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, err := io.ReadFull(content, want)
		over := err == io.EOF || err == io.ErrUnexpectedEOF
		if err != nil && !over {
			return 0, false, err
		}
		m, _ := io.ReadFull(file, there[:n])
		if size += int64(n); m < n || !bytes.Equal(want[:n], there[:n]) {
			return 0, false, nil
		}
		if over {
			m, _ := file.Read(there[:1])
			return size, m == 0, nil
		}
	}
}

func tableRow(r *callvault.Recording, file, sum string) []string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	row := []string{r.RecordingKey, r.CallKey, number(r.StartTime), number(r.Duration), number(r.Size), number(r.EventID),
		number(r.RecordingSystemID), string(r.Status), r.CallingParty, r.ReceivingParty, r.TenantName, r.TagData,
		r.CallDirection, r.Skill, r.Agent, file, sum}
	for i := range row {
		row[i] = escapeFormula(lineBreaks.Replace(row[i]))
	}
	return row
}

// lineBreaks makes every line break \n: a \r alone would be lost in a table.
var lineBreaks = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// escapeFormula puts an apostrophe before a text that a spreadsheet would take for a
// formula; some do so even for the full-width forms of the signs that begin one. A text
// that looks already escaped gets one more apostrophe, so that an import can restore it.
func escapeFormula(text string) string {
	first, _ := utf8.DecodeRuneInString(strings.TrimLeft(text, "'"))
	if text != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠", first) {
		return "'" + text
	}
	return text
}

func (done *exported) print(c *cobra.Command, o *options) error {
	var outcome error
	if len(done.Missing) > 0 {
		outcome = errIncomplete
	}
	if o.json {
		return errors.Join(printJSON(c.OutOrStdout(), done), outcome)
	}
	for _, m := range done.Missing {
		fmt.Fprintf(c.ErrOrStderr(), "without audio: %s: %s\n", m.RecordingKey, m.Reason)
	}
	fmt.Fprintf(c.OutOrStdout(), "%d recordings of %s exported, %s of audio; %d without audio\n", done.Recordings, done.Tenant, byteCount(done.Bytes), len(done.Missing))
	return outcome
}
