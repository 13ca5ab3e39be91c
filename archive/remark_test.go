package archive

import (
	"errors"
	"strings"
	"testing"

	"callvault"
)

func TestRemarkSentAgain(t *testing.T) {
	var remarks []Remark
	for _, one := range []struct {
		at        int64
		who, text string
		want      int
	}{
		{1000, "Ada", "no answer", 1}, {1050, "Ada", "no answer", 1}, {1060, "Bo", "no answer", 2},
		{1070, "Ada", "no answer", 3}, {1080, "Ada", "no, none", 4}, {1080 + sentAgain, "Ada", "no, none", 5},
	} {
		remarks = withRemark(remarks, &Remark{At: one.at, Who: one.who, Text: one.text})
		if len(remarks) != one.want {
			t.Errorf("after %+v there are %d", one, len(remarks))
		}
	}
}

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
