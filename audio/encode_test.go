package audio

type tone struct{ left int }

func (t *tone) ReadSamples(pcm []int16) (int, error) { return 0, nil }
