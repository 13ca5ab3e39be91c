package archive

import (
	"context"
	"database/sql"
)

// checkWithoutAudio reads the sidecar of a recording of which no audio is held.
// fault is what is wrong with it; err is what kept it from being read.
func (a *Archive) checkWithoutAudio(ctx context.Context, entry *Entry) (fault string, err error) {
	if fault, err = a.checkSidecarAlone(ctx, entry); fault == "" || err != nil {
		return "", err
	}
	// Its audio may be arriving just now: look again while nothing is being kept.
	err = a.alter(ctx, []string{folderOf(entry.path)}, func(tx *sql.Tx) error {
		fault = ""
		now, err := findRow(ctx, tx, &entry.Recording)
		if err == nil && now != nil && !now.Held && now.path == entry.path {
			fault, err = a.checkSidecarAlone(ctx, entry)
		}
		return err
	})
	return fault, err
}

// checkSidecarAlone reads a sidecar that should describe no audio. If it does, either a
// rebuild did not find the audio whole, or a crash came before the row of a recording that
// was being completed.
func (a *Archive) checkSidecarAlone(ctx context.Context, entry *Entry) (fault string, err error) {
	side, whole, err := a.readFiles(ctx, entry.path)
	switch {
	case unavailable(err):
		return "", err
	case err != nil:
		return sidecarFault(err), ctx.Err()
	case !whole:
		return "its audio is lost or damaged: the sidecar describes audio, but none is held", nil
	case side.Audio != nil:
		return "the database does not know that its audio is here; rebuild takes it in", nil
	}
	return "", nil
}
