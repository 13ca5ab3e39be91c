// The player of one recording. Its markup is in recording.html; without this script,
// the browser's own controls are shown.

import {clock, ofHash, spoken} from './moment.js';
import {Wave, read, silences} from './wave.js';
import {ailment} from './ailment.js';

const speeds = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3];

class Player {
  constructor(root) {
    this.root = root;
    this.audio = root.querySelector('audio');
    this.slider = root.querySelector('[role=slider]');
    this.length = Number(root.dataset.length); // in seconds, as the server measured it
    this.silences = [];
    this.wanted = null; // the position to go on from after a failure
    this.wave = new Wave(root.querySelector('canvas'));
    this.takeOver();
    this.wireAudio();
    this.wireButtons();
    this.wireSlider();
    this.recall();
    this.loadPeaks();
    this.followLink();
    addEventListener('hashchange', () => this.followLink());
    document.addEventListener('click', e => this.followAgain(e));
    document.addEventListener('keydown', e => this.key(e));
    document.addEventListener('serviceback', () => this.root.classList.contains('drawn') || this.loadPeaks());
    this.talkToOthers();
  }

  part(name) { return this.root.querySelector(`[data-part=${name}]`); }

  // takeOver replaces the browser's controls with ours. It keeps only the first source
  // that this browser plays: left to itself, the browser would try the next, larger one
  // after any failure.
  takeOver() {
    const {audio} = this, sources = [...audio.querySelectorAll('source')];
    const best = sources.find(s => audio.canPlayType(s.type)) || sources[0];
    for (const s of sources) s.remove();
    audio.src = best.src;
    audio.controls = false;
    audio.hidden = true;
    audio.preservesPitch = true;
    for (const name of ['face', 'link', 'help']) this.part(name).hidden = false;
    this.part('total').textContent = clock(Math.round(this.length));
    this.paint();
  }

  wireAudio() {
    const {audio} = this;
    audio.addEventListener('play', () => this.playing(true));
    audio.addEventListener('pause', () => this.playing(false));
    audio.addEventListener('ended', () => this.playing(false));
    audio.addEventListener('timeupdate', () => this.tick());
    audio.addEventListener('seeked', () => this.paint());
    audio.addEventListener('ratechange', () => this.paintSpeed());
    audio.addEventListener('volumechange', () => this.paintVolume());
    audio.addEventListener('waiting', () => this.root.classList.add('waiting'));
    audio.addEventListener('playing', () => this.heal());
    audio.addEventListener('loadedmetadata', () => this.measured());
    audio.addEventListener('error', () => this.fail());
  }

  // measured takes over the browser's own length, which is a hair off the server's.
  measured() {
    if (Number.isFinite(this.audio.duration)) this.length = this.audio.duration;
    if (this.wanted !== null) this.audio.currentTime = this.wanted;
    this.wanted = null;
    this.paint();
  }

  wireButtons() {
    const does = {
      play: () => this.toggle(), back: () => this.move(-10), forward: () => this.move(10),
      slower: () => this.shift(-1), faster: () => this.shift(1), mute: () => this.mute(),
      link: () => this.copyLink(), help: () => this.help(), again: () => this.again(),
    };
    for (const [name, act] of Object.entries(does)) this.part(name)?.addEventListener('click', act);
    this.wireStamp();
    this.part('skip').addEventListener('change', () => this.keepPreferences());
    this.part('volume').addEventListener('input', e => {
      this.audio.muted = false;
      this.audio.volume = Number(e.target.value) / 100;
    });
  }

  // wireStamp lets the button put the present moment into a note, where it becomes a link.
  wireStamp() {
    const button = document.querySelector('[data-stamp]'), text = document.getElementById('text');
    if (!button || !text) return;
    button.hidden = false;
    button.addEventListener('click', () => {
      text.setRangeText(`${clock(this.place)} `, text.selectionStart, text.selectionEnd, 'end');
      text.focus();
    });
  }

  // wireSlider makes the waveform a slider. While it is dragged, only the line moves; the
  // audio follows when it is released.
  wireSlider() {
    const {slider} = this, at = e => {
      const box = slider.getBoundingClientRect();
      return Math.min(Math.max((e.clientX - box.left) / box.width, 0), 1) * this.length;
    };
    const show = e => {
      if (this.dragged !== undefined) this.dragged = at(e);
      this.hover(at(e));
      this.paint();
    };
    slider.addEventListener('pointerdown', e => {
      if (e.button !== 0) return;
      slider.setPointerCapture(e.pointerId);
      this.dragged = at(e);
      this.paint();
    });
    slider.addEventListener('pointermove', show);
    slider.addEventListener('pointerup', () => this.drop(true));
    slider.addEventListener('pointercancel', () => this.drop(false));
    slider.addEventListener('pointerleave', () => this.hover(null));
  }

  drop(seek) {
    const to = this.dragged;
    this.dragged = undefined;
    if (seek && to !== undefined) this.seek(to);
    this.paint();
  }

  hover(place) {
    const tip = this.part('tip');
    tip.hidden = place === null;
    if (place === null) return;
    tip.textContent = clock(place);
    tip.style.left = `${place / this.length * 100}%`;
  }

  get place() {
    if (this.dragged !== undefined) return this.dragged;
    return this.wanted ?? this.audio.currentTime;
  }

  toggle() {
    if (this.troubled) this.again();
    else if (this.audio.paused) this.start();
    else this.audio.pause();
  }

  start() {
    if (this.audio.ended) this.audio.currentTime = 0;
    this.audio.play().catch(() => {}); // the error event says what is wrong
  }

  seek(place) {
    const to = Math.min(Math.max(place, 0), this.length);
    if (this.wanted !== null) this.wanted = to;
    else this.audio.currentTime = to;
    this.paint();
  }

  move(seconds) { this.seek(this.place + seconds); }

  // shift goes to the next speed up or down.
  shift(step) {
    const now = speeds.findIndex(s => s >= this.audio.playbackRate - 0.01);
    const next = speeds[Math.min(Math.max(now + step, 0), speeds.length - 1)];
    this.audio.playbackRate = next;
    this.audio.defaultPlaybackRate = next;
    this.keepPreferences();
  }

  mute() { this.audio.muted = !this.audio.muted; }

  // tick follows the audio as it plays, and skips silence if that is wanted.
  tick() {
    const {audio} = this;
    if (this.part('skip').checked && !audio.paused && !audio.seeking && this.dragged === undefined) {
      const now = audio.currentTime, silence = this.silences.find(s => now >= s.from && now < s.to - 0.1);
      if (silence) audio.currentTime = Math.min(silence.to, this.length);
    }
    this.paint();
  }

  playing(on) {
    this.root.classList.toggle('playing', on);
    const button = this.part('play');
    button.setAttribute('aria-label', on ? 'Pause' : 'Play');
    button.title = on ? 'Pause (space)' : 'Play (space)';
    if (on) this.others?.postMessage('playing');
    if (on && !this.frame) this.animate();
    this.paint();
  }

  animate() {
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.tick();
      if (!this.audio.paused) this.animate();
    });
  }

  paint() {
    const {place, length, slider} = this;
    this.wave.moveTo(length ? Math.min(place / length, 1) : 0);
    this.part('head').style.left = `${length ? Math.min(place / length, 1) * 100 : 0}%`;
    const text = clock(place);
    if (text === this.painted) return;
    this.painted = text;
    this.part('elapsed').textContent = text;
    slider.setAttribute('aria-valuemax', Math.floor(length));
    slider.setAttribute('aria-valuenow', Math.floor(place));
    slider.setAttribute('aria-valuetext', `${spoken(place)} of ${spoken(length)}`);
  }

  paintSpeed() {
    this.part('speed').textContent = `${this.audio.playbackRate}×`;
  }

  paintVolume() {
    const {audio} = this, silent = audio.muted || audio.volume === 0, button = this.part('mute');
    this.root.classList.toggle('muted', silent);
    button.setAttribute('aria-pressed', String(audio.muted));
    this.part('volume').value = audio.muted ? 0 : Math.round(audio.volume * 100);
    this.keepPreferences();
  }

  async loadPeaks() {
    try {
      const answer = await fetch(this.root.dataset.peaks);
      if (!answer.ok) return;
      const measured = read(await answer.arrayBuffer());
      this.silences = silences(measured);
      this.wave.show(measured.peaks);
      this.root.classList.add('drawn');
    } catch { /* the player works without a waveform */ }
  }

  // followLink seeks to the moment that the address names.
  followLink() {
    const place = ofHash(location.hash);
    if (place === null) return;
    this.seek(place);
    this.say(`At ${clock(this.place)}, as the link says.`);
  }

  // followAgain follows a link to a moment that the address names already.
  followAgain(e) {
    if (e.target.closest('a[href^="#t="]')?.hash === location.hash) this.followLink();
  }

  async copyLink() {
    const link = `${location.origin}${location.pathname}#t=${clock(this.place)}`;
    history.replaceState(history.state, '', link);
    try {
      await navigator.clipboard.writeText(link);
      this.say(`Copied the link to ${clock(this.place)}.`);
    } catch {
      this.say(`The link to this moment is now in the address bar.`);
    }
  }

  say(text) {
    this.part('word').textContent = text;
    this.part('trouble').hidden = true;
  }

  help() { this.part('keys').showModal(); }

  // fail asks the service what is wrong and says so. If trying again may help, it does,
  // from the same position.
  async fail() {
    const {audio} = this;
    if (!this.troubled) this.resume = this.root.classList.contains('playing');
    this.troubled = true;
    this.wanted = this.place;
    this.root.classList.remove('waiting');
    this.playing(false);
    const trouble = await ailment(audio.currentSrc || audio.src);
    if (!this.troubled) return;
    const box = this.part('trouble');
    box.hidden = false;
    this.part('why').textContent = trouble.words;
    this.part('sign').hidden = !trouble.signIn;
    this.part('sign').href = `/sign-in?why=ended&to=${encodeURIComponent(location.pathname)}#t=${clock(this.wanted)}`;
    this.part('again').hidden = trouble.signIn;
    this.part('word').textContent = '';
    clearTimeout(this.later);
    if (trouble.passes) this.later = setTimeout(() => this.again(this.resume), 3000);
  }

  again(play = true) {
    this.resume = play;
    const place = this.place;
    this.audio.load();
    this.wanted = place;
    if (play) this.start();
    else this.audio.preload = 'metadata';
  }

  heal() {
    this.troubled = false;
    this.root.classList.remove('waiting');
    this.part('trouble').hidden = true;
  }

  // recall restores the speed, the volume and the choice to skip silence.
  recall() {
    let kept = {};
    try { kept = JSON.parse(localStorage.getItem('player')) || {}; } catch { /* this browser stores nothing */ }
    const {audio} = this;
    if (speeds.includes(kept.speed)) audio.playbackRate = audio.defaultPlaybackRate = kept.speed;
    if (kept.volume >= 0 && kept.volume <= 1) audio.volume = kept.volume;
    this.part('skip').checked = kept.skip === true;
    this.paintSpeed();
    this.paintVolume();
  }

  keepPreferences() {
    const {audio} = this, skip = this.part('skip').checked;
    try {
      localStorage.setItem('player', JSON.stringify({speed: audio.playbackRate, volume: audio.volume, skip}));
    } catch { /* they apply to this page only */ }
  }

  // talkToOthers lets only one tab play at a time.
  talkToOthers() {
    if (!window.BroadcastChannel) return;
    this.others = new BroadcastChannel('callvault player');
    this.others.onmessage = () => this.audio.pause();
  }

  key(e) {
    const typed = e.getModifierState('AltGraph'); // how some keyboards write brackets
    if (e.defaultPrevented || e.metaKey || (!typed && (e.ctrlKey || e.altKey))) return;
    const {target} = e, kind = target.type;
    if (document.querySelector('dialog[open]') || target.isContentEditable) return;
    if (target.matches('textarea, select, input:not([type=checkbox], [type=range])')) return;
    if (e.key === ' ' && (target.matches('button, a[href], summary') || kind === 'checkbox')) return;
    if (kind === 'range' && /^(Arrow|Home|End|Page)/.test(e.key)) return;
    const act = this.keys[e.key.length === 1 ? e.key.toLowerCase() : e.key];
    if (!act) return;
    e.preventDefault();
    act(e);
  }

  keys = {
    ' ': () => this.toggle(), k: () => this.toggle(),
    ArrowLeft: e => this.move(e.shiftKey ? -10 : -5), ArrowRight: e => this.move(e.shiftKey ? 10 : 5),
    j: () => this.move(-10), l: () => this.move(10),
    PageDown: () => this.move(-30), PageUp: () => this.move(30),
    '[': () => this.shift(-1), ']': () => this.shift(1),
    Home: () => this.seek(0), End: () => this.seek(this.length),
    m: () => this.mute(), s: () => this.part('skip').click(), c: () => this.copyLink(), '?': () => this.help(),
  };
}

for (const root of document.querySelectorAll('[data-player]')) new Player(root);

// For a visitor who came from a search, the link back leads to that search.
const back = document.querySelector('[data-back]');
if (document.referrer.startsWith(`${location.origin}/recordings?`) && history.length > 1) {
  back.href = document.referrer;
}
