// Times of events by the gateway's clock. The offset is learned once a browser session; times only grow, also across pages.

const OFFSET_KEY = "shop.clock-offset";
const LAST_KEY = "shop.last-time";
const MAX_AHEAD_MS = 30_000;

export class Clock {
  /** `local` and `session` are Storage-like; `guessMs` is the offset until a better one is learned. */
  constructor(local, session, guessMs = 0) {
    this.local = local;
    this.session = session;
    const known = session.getItem(OFFSET_KEY);
    this.learned = known !== null;
    this.offsetMs = this.learned ? Number(known) : guessMs;
  }

  /** Learn from the gateway's time, which it read between these two moments of our clock. */
  learn(serverTime, sentMs, receivedMs) {
    const server = Date.parse(serverTime);
    if (this.learned || Number.isNaN(server)) return;
    this.learned = true;
    this.offsetMs = Math.round(server - (sentMs + receivedMs) / 2);
    this.session.setItem(OFFSET_KEY, String(this.offsetMs));
  }

  now() {
    return Math.round(Date.now() + this.offsetMs);
  }

  /** Now in milliseconds, later than every stamp before. */
  stamp() {
    const last = Number(this.local.getItem(LAST_KEY)) || 0;
    const now = this.now();
    // A last stamp far ahead is of a time before the clock was corrected: the gateway would refuse what follows it.
    const stamp = last >= now && last - now < MAX_AHEAD_MS ? last + 1 : now;
    this.local.setItem(LAST_KEY, String(stamp));
    return stamp;
  }
}
