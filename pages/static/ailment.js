// Says in words why audio does not play.

const reach = {words: 'The service cannot be reached. Trying again every few seconds.', passes: true};
const ended = {words: 'Your session has ended.', signIn: true};

// ailment asks the service for the audio as the browser did, and returns {words, passes,
// signIn}: what is wrong, whether trying again soon may help, and whether signing in would.
export async function ailment(url) {
  const stop = new AbortController();
  try {
    const answer = await fetch(url, {
      headers: {Accept: 'application/json', Range: 'bytes=0-'}, redirect: 'manual', cache: 'no-store', signal: stop.signal,
    });
    if (answer.type === 'opaqueredirect' || answer.status === 401) return ended;
    if (answer.ok) {
      stop.abort(); // the audio is there, and the player is the one to fetch it
      return {words: 'The audio was cut off. Trying again.', passes: true};
    }
    const {message} = await answer.json().catch(() => ({}));
    if (answer.status === 509) return {words: worksAgain(message, Number(answer.headers.get('Retry-After')))};
    return {words: message || 'The audio cannot be played just now.', passes: answer.status >= 500};
  } catch {
    return reach;
  }
}

// worksAgain says when listening works again, in the visitor's own time zone.
function worksAgain(message, seconds) {
  if (!seconds) return message;
  const at = new Date(Date.now() + seconds * 1000), today = at.toDateString() === new Date().toDateString();
  const when = at.toLocaleString([], today ? {timeStyle: 'short'} : {dateStyle: 'medium', timeStyle: 'short'});
  return `This tenant's audio limit for five days is used up. Listening works again at ${when}, ${fromNow(seconds)}.`;
}

function fromNow(seconds) {
  const format = new Intl.RelativeTimeFormat(undefined, {numeric: 'always'});
  const [size, unit] = [[86400, 'day'], [3600, 'hour'], [60, 'minute'], [1, 'second']].find(([n]) => seconds >= n) || [1, 'second'];
  return format.format(Math.ceil(seconds / size), unit);
}
