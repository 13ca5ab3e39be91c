// Positions in a recording, in seconds: written, spoken, and read from a link.

// clock writes a position as 1:23 or 1:02:03.
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  const two = n => String(n).padStart(2, '0');
  const hours = Math.floor(whole / 3600), minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

// spoken writes a position as a screen reader should say it.
export function spoken(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  const parts = [[Math.floor(whole / 3600), 'hour'], [Math.floor(whole / 60) % 60, 'minute'], [whole % 60, 'second']];
  const said = parts.filter(([n]) => n > 0).map(([n, unit]) => `${n} ${unit}${n === 1 ? '' : 's'}`);
  return said.join(' ') || '0 seconds';
}

// parse reads 83, 1:23 or 1:02:03, with or without a fraction. It returns null for
// anything else.
export function parse(text) {
  if (!/^\d{1,5}(:[0-5]?\d){0,2}(\.\d+)?$/.test(text)) return null;
  return text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
}

// ofHash returns the position that a link such as …#t=1:23 names, or null if none.
export function ofHash(hash) {
  const named = /^#t=(.*)$/.exec(hash);
  return named && parse(named[1]);
}
