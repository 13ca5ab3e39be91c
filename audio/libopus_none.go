//go:build nolibopus || !(darwin || (linux && (amd64 || arm64)))

package audio

// opusEncoder stands where no libopus can be opened.
type opusEncoder struct{}

func newOpusEncoder() (*opusEncoder, error) { return nil, ErrNoLibrary }

func (*opusEncoder) close() {}

func (*opusEncoder) lookahead() (int, error) { return 0, ErrNoLibrary }

func (*opusEncoder) encode([]int16, []byte) (int, error) { return 0, ErrNoLibrary }

// Library is the version of libopus that encodes; this build has none and
// returns [ErrNoLibrary].
func Library() (version string, err error) { return "", ErrNoLibrary }
