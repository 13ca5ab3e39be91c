// The waveform: draws the server's peaks as bars, and finds the silences.

const pitch = 0.2; // from one bar to the next, as a part of the font size
const quiet = 96 - 45; // loudness below this, 45 dB under full scale, is silence
const shortest = 1; // seconds; a shorter silence is a breath
const margin = 0.25; // seconds of a silence that are kept at both ends

// read decodes what the server measured, in the form of its audio.Peaks: for each
// bucket its peak, 0 to 255, and its loudness in dB, where 96 is full scale.
export function read(buffer) {
  const header = new DataView(buffer), bytes = new Uint8Array(buffer, 16);
  const rate = header.getUint32(8, true), count = Math.min(header.getUint32(12, true), bytes.length >> 1);
  const each = header.getUint32(4, true) / rate, peaks = new Uint8Array(count), loudness = new Uint8Array(count);
  for (let i = 0; i < count; i++) [peaks[i], loudness[i]] = [bytes[2 * i], bytes[2 * i + 1]];
  return {each, peaks, loudness};
}

// silences returns the stretches {from, to}, in seconds, in which there is nothing to hear.
export function silences({each, loudness}) {
  const found = [];
  for (let i = 0; i < loudness.length; i++) {
    if (loudness[i] >= quiet) continue;
    const begin = i;
    while (i < loudness.length && loudness[i] < quiet) i++;
    const from = begin * each + margin, to = i * each - margin;
    if (to - from >= shortest) found.push({from, to});
  }
  return found;
}

// loudest returns the highest of peaks[from] to peaks[to - 1].
function loudest(peaks, from, to) {
  let most = 0;
  for (let i = from; i < to; i++) if (peaks[i] > most) most = peaks[i];
  return most;
}

// Wave draws peaks on a canvas as bars: as many as fit, however many peaks there are.
export class Wave {
  constructor(canvas) {
    this.canvas = canvas;
    this.peaks = new Uint8Array(0);
    this.place = 0; // 0 to 1
    new ResizeObserver(() => this.layOut()).observe(canvas);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.layOut());
  }

  show(peaks) {
    this.peaks = peaks;
    this.layOut();
  }

  // layOut measures the canvas again and gathers the peaks of each bar.
  layOut() {
    const {canvas} = this, style = getComputedStyle(canvas), scale = devicePixelRatio || 1;
    this.scale = scale;
    canvas.width = Math.round(canvas.clientWidth * scale);
    canvas.height = Math.round(canvas.clientHeight * scale);
    this.heard = style.getPropertyValue('--wave-heard') || style.color;
    this.ahead = style.getPropertyValue('--wave-ahead') || style.color;
    const bar = Math.max(3, Math.round(parseFloat(style.fontSize) * pitch)), {peaks} = this;
    const count = Math.max(1, Math.floor(canvas.clientWidth / bar));
    const most = Math.max(loudest(peaks, 0, peaks.length), 32); // a quiet recording must not look loud
    this.bars = Array.from({length: count}, (_, i) => {
      const from = Math.floor(i * peaks.length / count);
      return loudest(peaks, from, Math.max(from + 1, Math.floor((i + 1) * peaks.length / count))) / most;
    });
    this.draw();
  }

  // moveTo sets the line between what was heard and what is ahead, from 0 to 1.
  moveTo(place) {
    this.place = place;
    this.draw();
  }

  draw() {
    const {canvas, scale} = this, shown = this.bars, pen = canvas.getContext('2d');
    if (!shown || !pen) return;
    const middle = canvas.height / 2, line = this.place * canvas.width, wide = canvas.width / shown.length;
    pen.clearRect(0, 0, canvas.width, canvas.height);
    const thick = Math.max(1, Math.round(wide * 0.6)); // whole pixels: anything else would blur
    for (let i = 0; i < shown.length; i++) {
      const tall = Math.max(2 * scale, shown[i] * canvas.height * 0.96), x = Math.round(i * wide);
      pen.fillStyle = x + thick / 2 <= line ? this.heard : this.ahead;
      pen.fillRect(x, middle - tall / 2, thick, tall);
    }
  }
}
