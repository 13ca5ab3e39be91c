package audio

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/iotest"
	"time"
)

func newWAV(t testing.TB, ogg []byte) *WAV {
	t.Helper()
	info, err := Check(bytes.NewReader(ogg))
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewWAV(bytes.NewReader(ogg), info)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWAVHoldsWhatIsDecoded(t *testing.T) {
	ogg := fixture(t, "speech.opus")
	got, err := io.ReadAll(newWAV(t, ogg))
	if err != nil {
		t.Fatal(err)
	}
	want := wavFile(wavPCM, Rate, 1, 16, bytes16(decodeAll(t, ogg)))
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes, want %d; or others", len(got), len(want))
	}
	if err := iotest.TestReader(newWAV(t, ogg), want); err != nil {
		t.Error(err)
	}
}

// TestEveryRangeHasTheSameBytes reads at random places of sound that spans
// segments: clients put ranges of one ETag together.
func TestEveryRangeHasTheSameBytes(t *testing.T) {
	ogg := long(t, 60)
	w := newWAV(t, ogg)
	whole, err := io.ReadAll(w)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	size := w.Size()
	spots := []int64{0, 1, 43, 44, 45, size - 1, size - 2, 2*segment - 1, 2 * segment, 2*segment + 44, 4*segment - 300}
	for range 8 {
		spots = append(spots, rnd.Int64N(size))
	}
	part := make([]byte, 5001)
	for _, at := range spots {
		if _, err := w.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		n := min(int64(len(part)), size-at)
		if _, err := io.ReadFull(w, part[:n]); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(part[:n], whole[at:at+n]) {
			t.Errorf("bytes %d to %d are others than when read from the start", at, at+n)
		}
	}
}

func TestServedInRanges(t *testing.T) {
	ogg := long(t, 3)
	whole, err := io.ReadAll(newWAV(t, ogg))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Range", "bytes=1000-1999")
	rec := httptest.NewRecorder()
	http.ServeContent(rec, r, "a.wav", time.Time{}, newWAV(t, ogg))
	if rec.Code != http.StatusPartialContent || !bytes.Equal(rec.Body.Bytes(), whole[1000:2000]) {
		t.Errorf("%d, %d bytes", rec.Code, rec.Body.Len())
	}
}

func TestWAVOfWhatIsTooLong(t *testing.T) {
	_, err := NewWAV(nil, Info{Samples: 75 * 3600 * opusRate})
	if !errors.Is(err, ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

func TestWAVOfLessThanItsInfo(t *testing.T) {
	w, err := NewWAV(bytes.NewReader(fixture(t, "speech.opus")), Info{Samples: 100000, PreSkip: 312})
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, w)
	if !errors.Is(err, ErrTruncated) || n != 44+2*13657 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestSeekRefusesWhatIsBeforeTheStart(t *testing.T) {
	w := newWAV(t, fixture(t, "speech.opus"))
	if _, err := w.Seek(-1, io.SeekStart); err == nil {
		t.Error("no error")
	}
	if at, err := w.Seek(-10, io.SeekEnd); err != nil || at != w.Size()-10 {
		t.Errorf("%d, %v", at, err)
	}
}

// BenchmarkWAVSeek reads a kilobyte near the end of two hours.
func BenchmarkWAVSeek(b *testing.B) {
	ogg := long(b, 4200)
	w := newWAV(b, ogg)
	part := make([]byte, 1000)
	for b.Loop() {
		w.Seek(0, io.SeekStart)
		w.Read(part)
		w.Seek(-5000, io.SeekEnd)
		if _, err := io.ReadFull(w, part); err != nil {
			b.Fatal(err)
		}
	}
}
