package move

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"callvault/archive"

	"golang.org/x/sync/errgroup"
)

// Fault is something that is wrong with a recording at the source; it was moved as it is.
// RecordingKey is a file's key when no recording is known.
type Fault struct {
	Tenant       string `json:"tenant"`
	RecordingKey string `json:"recordingKey"`
	Fault        string `json:"fault"`
}

// recording is what a row of the table of recordings says about its files.
type recording struct {
	tenant, key    string
	audio, sidecar string // keys; "" when there is none, or nothing to copy
	sha256         string // of the audio, in hex
	bytes          int64
	moved          bool // the target has the row already, and therefore its audio
}

// recordingsTable is the table whose rows have files. A row is written after its files, and
// therefore vouches for them.
const recordingsTable = "recordings"

// recordingOf interprets a row of the table of recordings.
func recordingOf(t *table, row values) (r recording, err error) {
	var path string
	var sum []byte
	for name, to := range map[string]any{
		"tenant": &r.tenant, "recording_key": &r.key, "path": &path, "sha256": &sum, "bytes": &r.bytes,
	} {
		i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
		if i < 0 || !assign(to, row[i]) {
			return r, fmt.Errorf("table %s: the column %s is missing or has an unexpected type", t.name, name)
		}
	}
	if path == "" {
		return r, nil // only noted
	}
	r.audio, r.sidecar = archive.Files(path)
	r.sha256 = fmt.Sprintf("%x", sum)
	if len(sum) == 0 {
		r.audio, r.bytes = "", 0
	}
	return r, nil
}

// assign stores a value in what to points to, if it has that type.
func assign(to, value any) (fits bool) {
	switch to := to.(type) {
	case *string:
		*to, fits = value.(string)
	case *int64:
		*to, fits = value.(int64)
	case *[]byte:
		*to, fits = value.([]byte)
	}
	return fits
}

// copyRecordings copies the files of recordings: for those that are moved already only
// sidecars that have changed since, for others everything.
func (m *mover) copyRecordings(ctx context.Context, all []recording) (faults []Fault, err error) {
	if err := m.findChanged(ctx, all); err != nil {
		return nil, err
	}
	for len(all) > 0 {
		n, keys, bytes := 0, []string(nil), int64(0)
		for n < len(all) && (n == 0 || len(keys) < groupBlobs && bytes+all[n].bytes <= groupBytes) {
			for _, key := range []string{all[n].audio, all[n].sidecar} {
				if key != "" {
					keys = append(keys, key)
				}
			}
			bytes += all[n].bytes
			n++
		}
		copied, err := m.audio.copy(ctx, keys)
		if err != nil {
			return nil, err
		}
		for i := range all[:n] {
			if text := all[i].fault(copied); text != "" {
				faults = append(faults, Fault{all[i].tenant, all[i].key, text})
			}
			m.copied(&all[i])
		}
		all = all[n:]
	}
	return faults, nil
}

// findChanged clears the keys of files that need not be copied again, because their
// recording is moved already.
func (m *mover) findChanged(ctx context.Context, all []recording) error {
	looking, ctx := errgroup.WithContext(ctx)
	looking.SetLimit(readsAtOnce)
	for i := range all {
		r := &all[i]
		if !r.moved {
			continue
		}
		r.audio = ""
		if r.sidecar == "" {
			continue
		}
		looking.Go(func() error {
			changed, err := m.audio.differs(ctx, r.sidecar)
			if err == nil && !changed {
				r.sidecar = ""
			}
			return err
		})
	}
	return looking.Wait()
}

// fault returns what is wrong with the recording's files, or "".
func (r *recording) fault(copied map[string]*blob) string {
	if r.moved {
		return "" // an earlier run has reported it
	}
	if audio := copied[r.audio]; audio != nil {
		switch sum := fmt.Sprintf("%x", audio.sum); {
		case errors.Is(audio.fault, fs.ErrNotExist):
			return "the audio file is missing"
		case audio.fault != nil:
			return fmt.Sprintf("the audio cannot be read: %v", audio.fault)
		case sum != r.sha256:
			return fmt.Sprintf("the audio is damaged: its SHA-256 is %s, not %s", sum, r.sha256)
		}
	}
	if sidecar := copied[r.sidecar]; sidecar != nil && sidecar.fault != nil {
		return fmt.Sprintf("the sidecar cannot be read: %v", sidecar.fault)
	}
	return ""
}
