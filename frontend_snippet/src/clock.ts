/** Times by the gateway's clock that only grow. Pure. */

/** A stamp this far ahead of now is of a time before the clock was corrected. */
const MAX_AHEAD_MS = 30_000;

/** The offset of our clock, from a time the gateway read between these two moments of ours; NaN when it is no time. */
export const offsetOf = (serverTime: string, sentMs: number, receivedMs: number): number => Date.parse(serverTime) - (sentMs + receivedMs) / 2;

/** The stamp of an event that happens at `nowMs`: later than the one before. */
export const stampAfter = (lastMs: number, nowMs: number): number => (lastMs >= nowMs && lastMs - nowMs < MAX_AHEAD_MS ? lastMs + 1 : nowMs);
