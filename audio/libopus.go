//go:build !nolibopus && (darwin || (linux && (amd64 || arm64)))

package audio

import (
	"fmt"
	"runtime"
	"sync"

	"github.com/ebitengine/purego"
)

// libopus is the C library. It is opened at run time, so that building needs only Go.
type libopus struct {
	create  func(rate, channels, application int32, status *int32) uintptr
	destroy func(encoder uintptr)
	encode  func(encoder uintptr, pcm []int16, frame int32, packet []byte, max int32) int32
	set     func(encoder uintptr, request int32, value int32) int32
	get     func(encoder uintptr, request int32, value *int32) int32
	explain func(status int32) string
	version func() string
}

// openLibopus opens the library once. Its error wraps ErrNoLibrary.
var openLibopus = sync.OnceValues(func() (*libopus, error) {
	names := []string{"libopus.so.0"}
	if runtime.GOOS == "darwin" {
		names = []string{"libopus.0.dylib", "/opt/homebrew/lib/libopus.0.dylib", "/usr/local/lib/libopus.0.dylib"}
	}
	var last error
	for _, name := range names {
		handle, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_LOCAL)
		if err == nil {
			return bindLibopus(handle)
		}
		last = err
	}
	return nil, fmt.Errorf("%w: %v", ErrNoLibrary, last)
})

func bindLibopus(handle uintptr) (*libopus, error) {
	var l libopus
	for name, fn := range map[string]any{
		"opus_encoder_create":     &l.create,
		"opus_encoder_destroy":    &l.destroy,
		"opus_encode":             &l.encode,
		"opus_strerror":           &l.explain,
		"opus_get_version_string": &l.version,
	} {
		symbol, err := purego.Dlsym(handle, name)
		if err != nil {
			return nil, fmt.Errorf("%w: %v", ErrNoLibrary, err)
		}
		purego.RegisterFunc(fn, symbol)
	}
	ctl, err := purego.Dlsym(handle, "opus_encoder_ctl")
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrNoLibrary, err)
	}
	l.bindCtl(ctl)
	return &l, nil
}

// bindCtl binds the one function that is variadic in C. Its third argument is passed as
// in any other function, except on Apple's ARM. There, variadic arguments are on the
// stack, so six empty arguments fill the rest of the eight registers.
func (l *libopus) bindCtl(ctl uintptr) {
	if runtime.GOOS != "darwin" || runtime.GOARCH != "arm64" {
		purego.RegisterFunc(&l.set, ctl)
		purego.RegisterFunc(&l.get, ctl)
		return
	}
	var set func(encoder uintptr, request int32, _, _, _, _, _, _ uintptr, value uintptr) int32
	var get func(encoder uintptr, request int32, _, _, _, _, _, _ uintptr, value *int32) int32
	purego.RegisterFunc(&set, ctl)
	purego.RegisterFunc(&get, ctl)
	l.set = func(encoder uintptr, request, value int32) int32 {
		return set(encoder, request, 0, 0, 0, 0, 0, 0, uintptr(value))
	}
	l.get = func(encoder uintptr, request int32, value *int32) int32 {
		return get(encoder, request, 0, 0, 0, 0, 0, 0, value)
	}
}

// Values from opus_defines.h.
const (
	opusVoIP          = 2048
	opusSetBitrate    = 4002
	opusSetVBR        = 4006
	opusSetComplexity = 4010
	opusSetSignal     = 4024
	opusGetLookahead  = 4027
	opusSignalVoice   = 3001
)

// opusEncoder is one encoder of the library: Rate Hz, mono, voice.
type opusEncoder struct {
	lib   *libopus
	state uintptr
}

func newOpusEncoder() (*opusEncoder, error) {
	lib, err := openLibopus()
	if err != nil {
		return nil, err
	}
	var status int32
	e := &opusEncoder{lib, lib.create(Rate, 1, opusVoIP, &status)}
	if status != 0 || e.state == 0 {
		return nil, fmt.Errorf("create an Opus encoder: %s", lib.explain(status))
	}
	for _, c := range []struct{ request, value int32 }{
		{opusSetBitrate, bitrate},
		{opusSetVBR, 1},
		{opusSetSignal, opusSignalVoice},
		{opusSetComplexity, complexity},
	} {
		if status := lib.set(e.state, c.request, c.value); status != 0 {
			e.close()
			return nil, fmt.Errorf("set up the Opus encoder: %s", lib.explain(status))
		}
	}
	return e, nil
}

func (e *opusEncoder) close() { e.lib.destroy(e.state) }

// lookahead returns the encoder's delay in samples at Rate.
func (e *opusEncoder) lookahead() (int, error) {
	var n int32
	if status := e.lib.get(e.state, opusGetLookahead, &n); status != 0 {
		return 0, fmt.Errorf("ask the Opus encoder for its delay: %s", e.lib.explain(status))
	}
	return int(n), nil
}

// encode encodes one frame into packet and returns the length of the packet.
func (e *opusEncoder) encode(pcm []int16, packet []byte) (int, error) {
	n := e.lib.encode(e.state, pcm, int32(len(pcm)), packet, int32(len(packet)))
	if n < 0 {
		return 0, fmt.Errorf("encode Opus: %s", e.lib.explain(n))
	}
	return int(n), nil
}

// Library returns the version of libopus, in its own words. If it is missing the error
// wraps [ErrNoLibrary].
func Library() (version string, err error) {
	lib, err := openLibopus()
	if err != nil {
		return "", err
	}
	return lib.version(), nil
}
