/** Times by the gateway's clock that only grow. Pure. */

/** A stamp further ahead than this is from before the clock was corrected. */
const MAX_AHEAD_MS = 30_000;

/** What to add to our clock for the gateway's, in ms. It read `serverTime` between these two moments of ours; NaN if it is invalid. */
export const offsetOf = (serverTime: string, sentMs: number, receivedMs: number): number =>
  Date.parse(serverTime) - (sentMs + receivedMs) / 2;

/** The stamp of an event that happens at `nowMs`: later than the one before. */
export const stampAfter = (lastMs: number, nowMs: number): number =>
  lastMs >= nowMs && lastMs - nowMs < MAX_AHEAD_MS ? lastMs + 1 : nowMs;
