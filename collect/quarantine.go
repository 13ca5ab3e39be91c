package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"callvault/archive"
)

// evidence is a refused answer, as it is set aside.
type evidence struct {
	Tenant       string      `json:"tenant"`
	RecordingKey string      `json:"recordingKey"`
	Source       string      `json:"source"`
	RefusedAt    int64       `json:"refusedAt"` // Unix milliseconds
	Reason       string      `json:"reason"`
	Status       int         `json:"status"`
	Header       http.Header `json:"header"` // without secrets
	Bytes        int64       `json:"bytes"`  // of the body beside this file
	body         []byte      // where it is not in a spool
}

// The endings of the names of a refused answer's two files.
const (
	evidenceEnding = ".json"
	bodyEnding     = ".body"
)

// evidencePath returns the path of a refused answer's files without their endings.
func evidencePath(tenant, key string) string {
	return archive.FileName(tenant) + "/" + archive.FileName(key)
}

// quarantine sets a refused answer aside with its evidence, and replaces that of an
// earlier run. spool holds the body; if it is nil, refused does.
func (t *turn) quarantine(ctx context.Context, it *item, refused *refusedBody, spool *archive.Spool) error {
	proof := refused.answer
	proof.Tenant, proof.RecordingKey, proof.Source = it.tenant, it.key, t.r.source.Name
	proof.RefusedAt, proof.Reason = time.Now().UnixMilli(), refused.reason
	if spool != nil {
		text, err := pageIn(spool)
		if err != nil {
			return localFault{err}
		}
		if clean := t.r.client.WithoutKey(text); !bytes.Equal(clean, text) {
			proof.body, spool = clean, nil
		}
	}
	if err := t.r.c.setAside(context.WithoutCancel(ctx), &proof, spool); err != nil {
		return localFault{err}
	}
	t.record(it, quarantined, refused.reason)
	t.r.c.log.Error("refused and set aside", "tenant", it.tenant, "recording", it.key, "reason", refused.reason)
	return nil
}

// maxPage is the size in bytes up to which a body is searched for the authentication key:
// pages that repeat the request they answer are short.
const maxPage = 1 << 20

// pageIn returns what was spooled; nil if it is over maxPage.
func pageIn(spool *archive.Spool) ([]byte, error) {
	if _, info, _ := spool.End(); info.Bytes > maxPage {
		return nil, nil
	}
	var text bytes.Buffer
	err := spool.CopyTo(&text)
	return text.Bytes(), err
}

// setAside writes the body, and then the evidence.
func (c *Collector) setAside(ctx context.Context, proof *evidence, spool *archive.Spool) error {
	file, err := c.quarantine.Stage()
	if err != nil {
		return archive.StorageError(err)
	}
	defer c.quarantine.Discard(file)
	if spool != nil {
		err = spool.CopyTo(file)
	} else {
		_, err = io.Copy(file, bytes.NewReader(proof.body))
	}
	if err == nil {
		proof.Bytes, err = file.Seek(0, io.SeekCurrent)
	}
	if err != nil {
		return fmt.Errorf("set aside %s: %w", proof.RecordingKey, archive.StorageError(err))
	}
	text, err := json.MarshalIndent(proof, "", "  ")
	if err != nil {
		return fmt.Errorf("set aside %s: %w", proof.RecordingKey, err)
	}
	path := evidencePath(proof.Tenant, proof.RecordingKey)
	if err := archive.PutFile(ctx, c.quarantine, path+bodyEnding, file); err != nil {
		return fmt.Errorf("set aside %s: %w", proof.RecordingKey, err)
	}
	return archive.PutBytes(ctx, c.quarantine, path+evidenceEnding, append(text, '\n'))
}

// readEvidence reads the evidence of a recording that was set aside; the error is
// fs.ErrNotExist if nothing was.
func (c *Collector) readEvidence(ctx context.Context, tenant, key string) (*evidence, error) {
	path := evidencePath(tenant, key)
	size, err := c.quarantine.Size(ctx, path+evidenceEnding)
	if err != nil {
		return nil, err
	}
	file, err := c.quarantine.Open(ctx, path+evidenceEnding, size)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	proof := &evidence{}
	if err := json.NewDecoder(file).Decode(proof); err != nil {
		return nil, fmt.Errorf("evidence of %s: %w", key, err)
	}
	return proof, nil
}
