package archive

import (
	"errors"
	"strings"
	"testing"

	"callvault"
)

func TestRoomForRemarks(t *testing.T) {
	if err := checkRoom(make([]Remark, maxRemarks)); err != nil {
		t.Error(err)
	}
	if err := checkRoom(make([]Remark, maxRemarks+1)); !errors.Is(err, callvault.InvalidParameter) {
		t.Errorf("one too many: %v", err)
	}
	remarks := make([]Remark, maxRemarks)
	for i := range maxRemarkBytes / MaxRemark {
		remarks[i].Text = strings.Repeat("\x1b", MaxRemark) // written as six bytes each
	}
	if err := checkRoom(remarks); err != nil {
		t.Error(err)
	}
	content, err := (&sidecar{Remarks: remarks}).encode()
	if err != nil || len(content) > maxSidecar*7/8 {
		t.Errorf("a sidecar of %d bytes, %v", len(content), err)
	}
}
