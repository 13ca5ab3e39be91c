package archive

import (
	"context"
	"database/sql"
)

// checkWithoutAudio reads the sidecar of a recording of which no audio is held.
// fault is what is wrong with it; err is what kept it from being read.
func (a *Archive) checkWithoutAudio(ctx context.Context, entry *Entry) (fault string, err error) {
	look := func() {
		side, err := a.readSidecar(ctx, entry.path)
		switch {
		case err != nil:
			fault = sidecarFault(err)
		case side.Audio != nil:
			fault = "its audio is lost or damaged: the sidecar tells of some, and none is held"
		default:
			fault = ""
		}
	}
	if look(); fault == "" {
		return "", ctx.Err()
	}
	// It may just be getting its audio: look again when nothing is.
	err = a.alter(ctx, []string{folderOf(entry.path)}, func(tx *sql.Tx) error {
		fault = ""
		now, err := findRow(ctx, tx, &entry.Recording)
		if err == nil && now != nil && !now.Held && now.path == entry.path {
			look()
		}
		return err
	})
	return fault, err
}
