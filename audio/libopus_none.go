//go:build nolibopus || !(darwin || (linux && (amd64 || arm64)))

package audio

// opusEncoder is a placeholder in builds that cannot open libopus.
type opusEncoder struct{}

func newOpusEncoder() (*opusEncoder, error) { return nil, ErrNoLibrary }

func (*opusEncoder) close() {}

func (*opusEncoder) lookahead() (int, error) { return 0, ErrNoLibrary }

func (*opusEncoder) encode([]int16, []byte) (int, error) { return 0, ErrNoLibrary }

// Library returns [ErrNoLibrary]: this build cannot use libopus.
func Library() (version string, err error) { return "", ErrNoLibrary }
