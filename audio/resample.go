package audio

import "math"

// The filters of the resampler: flat up to 7/8 of the lower of the two bandwidths,
// which is 3.5 kHz for telephony, and down by 80 dB from its edge on.
const (
	stopBand  = 80.0 // dB
	flatPart  = 7.0 / 8
	maxPhases = 8192
)

// resampler converts mono sound from any rate to Rate. It adds no delay, and turns n
// samples into n·Rate/from, rounded. High rates go through two filters: a short one
// down to a little over twice Rate, and then the steep one, whose cost grows with its
// input rate.
type resampler struct {
	from    int
	filters []*fir
	in, out int64
}

func newResampler(from int) *resampler {
	r := &resampler{from: from}
	rate := float64(from)
	down := from / (2 * Rate)
	if down > 1 {
		low := rate / float64(down)
		r.filters = append(r.filters, newFIR(1, down, band{rate, Rate / 2, low - Rate/2}))
		rate = low
	} else {
		down = 1
	}
	if from != Rate {
		edge := min(rate, Rate) / 2
		r.filters = append(r.filters, newFIR(Rate*down, from, band{rate, edge * flatPart, edge}))
	}
	return r
}

// push adds input and returns the output that is complete, valid until the next call.
func (r *resampler) push(x []float32) []float32 {
	r.in += int64(len(x))
	for _, f := range r.filters {
		x = f.push(x)
	}
	r.out += int64(len(x))
	return x
}

// length returns how many output samples the input so far makes.
func (r *resampler) length() int64 {
	return (r.in*Rate + int64(r.from)/2) / int64(r.from)
}

// finish returns the rest of the output.
func (r *resampler) finish() []float32 {
	var rest []float32
	missing := r.length() - r.out
	for quiet := make([]float32, 1024); int64(len(rest)) < missing; {
		x := quiet
		for _, f := range r.filters {
			x = f.push(x)
		}
		rest = append(rest, x...)
	}
	return rest[:missing]
}

// band is the frequency response of a filter, in Hz: flat up to pass, nothing from stop
// on.
type band struct{ rate, pass, stop float64 }

// fir changes the rate by up/down through a low-pass filter, a sinc with a Kaiser
// window. It has a row of coefficients for each phase between two input samples.
type fir struct {
	up, down int // without a common factor
	taps     int
	rows     [][]float32
	buf      []float32 // input, starting at the first tap of the next output
	out      []float32
	phase    int // of the next output, in 1/up of an input sample
}

func newFIR(up, down int, b band) *fir {
	for d := gcd(up, down); d > 1; d = 1 {
		up, down = up/d, down/d
	}
	width := 2 * math.Pi * (b.stop - b.pass) / b.rate
	half := int(math.Ceil((stopBand-7.95)/(2.285*width)/2)) + 1
	f := &fir{up: up, down: down, taps: 2 * half, buf: make([]float32, half-1)}
	f.rows = make([][]float32, min(up, maxPhases))
	for i := range f.rows {
		f.rows[i] = kaiserRow(half, float64(i)/float64(len(f.rows)), (b.pass+b.stop)/b.rate)
	}
	return f
}

// kaiserRow returns the coefficients for an output at a point between two input
// samples. cut is the cut-off frequency, where 1 is half the sampling rate.
func kaiserRow(half int, between, cut float64) []float32 {
	const beta = 0.1102 * (stopBand - 8.7)
	row := make([]float64, 2*half)
	sum := 0.0
	for i := range row {
		t := float64(i-half+1) - between
		u := t / float64(half)
		row[i] = sinc(cut*t) * bessel(beta*math.Sqrt(max(0, 1-u*u)))
		sum += row[i]
	}
	taps := make([]float32, len(row))
	for i, v := range row {
		taps[i] = float32(v / sum)
	}
	return taps
}

func sinc(x float64) float64 {
	if x == 0 {
		return 1
	}
	return math.Sin(math.Pi*x) / (math.Pi * x)
}

// bessel returns the modified Bessel function of the first kind and order zero.
func bessel(x float64) float64 {
	sum, term := 1.0, 1.0
	for k := 1.0; term > 1e-12*sum; k++ {
		term *= x * x / (4 * k * k)
		sum += term
	}
	return sum
}

func gcd(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// push adds input and returns the output that is complete, valid until the next call.
func (f *fir) push(x []float32) []float32 {
	f.buf = append(f.buf, x...)
	f.out = f.out[:0]
	at := 0
	for at+f.taps <= len(f.buf) {
		row := f.rows[f.phase*len(f.rows)/f.up]
		f.out = append(f.out, dot(row, f.buf[at:]))
		f.phase += f.down
		at += f.phase / f.up
		f.phase %= f.up
	}
	at = min(at, len(f.buf))
	f.buf = f.buf[:copy(f.buf, f.buf[at:])]
	return f.out
}

// dot returns the dot product. It keeps four sums, so that an addition need not wait for
// the one before it.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	for len(a) >= 4 && len(b) >= 4 {
		s0 += a[0] * b[0]
		s1 += a[1] * b[1]
		s2 += a[2] * b[2]
		s3 += a[3] * b[3]
		a, b = a[4:], b[4:]
	}
	for i := range a {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}
