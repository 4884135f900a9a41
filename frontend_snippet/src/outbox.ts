/** The queue of events: first in, first out, kept in storage until the gateway has answered for each. */
import { run } from "./http.ts";
import { complain, currentPage, PREFIX } from "./options.ts";
import { backoffMs, BATCH, batchOf, bounded, isRetried, settle } from "./queue.ts";
import type { Item, Refusal, Result } from "./queue.ts";
import { credential, isGranted, locked, newId, now, refuse, setCookie, stamp, storage, store, timeText, tokenAtHand } from "./visitor.ts";

interface Answer {
  results: Result[];
  cursor: string | null;
  serverTime: string;
}

const CURSOR_SECONDS = 60;
/** Of UTF-16: at most 60,000 bytes of UTF-8, and a browser lets 64 KiB outlive their page. */
const KEPT_ALIVE = 20_000;
const QUEUES = "q.";
const OWN = QUEUES + newId();

let items: Item[] = [];
let underWay: Item[] = [];
let limit = BATCH;
let failures = 0;
let isDraining: unknown;
let release: (() => void) | undefined;

/** While there is a pause before the next try: ends it. */
export let retryNow: (() => void) | undefined;

/** Replace what waits. */
export const keep = (left: Item[]): void => {
  items = bounded(left);
  store(OWN, JSON.stringify(items));
  if (!items[0]) delete storage[PREFIX + OWN];
};

const next = (): Item[] => (isGranted() ? batchOf(items.filter((item) => !underWay.includes(item)), limit) : []);

/** Put a call into the queue and send it. */
export const enqueue = (item: object): void => {
  try {
    keep([...items, JSON.parse(JSON.stringify({ messageId: newId(), timestamp: stamp(), ...item }))]);
  } catch (problem) {
    return complain(problem);
  }
  // Calls of the same moment go together.
  queueMicrotask(drain);
};

/** Put an event into the queue. */
export const enqueueEvent = (event: object): void => enqueue({ page: currentPage(), ...event });

const drain = async (): Promise<void> => {
  if (isDraining) return;
  for (let batch; (isDraining = (batch = next())[0]); ) {
    const delay = await send(batch).catch((problem: Refusal) => backoffMs(failures++, problem));
    if (delay)
      await new Promise<void>((resolve) => {
        retryNow = resolve;
        setTimeout(resolve, delay);
      });
    retryNow = undefined;
  }
};

/** The page may go, or the visitor: what is not under way is sent without waiting for its turn, unless we shall wait. What is not sent stays stored. */
export const sendLast = async (): Promise<unknown> => !retryNow && tokenAtHand() && next()[0] && send(next());

/** One request; how long to wait before the next. */
const send = async (batch: Item[]): Promise<number> => {
  const [first] = batch as [Item];
  const token = tokenAtHand() || (await credential());
  underWay = [...underWay, ...batch];
  try {
    const answer = await run<Answer>(
      first.operation || "Track",
      { sentAt: timeText(now()), ...(first.operation ? first : { events: batch }) },
      token,
      JSON.stringify(batch).length < KEPT_ALIVE,
    );
    if (answer.cursor) setCookie("visitor_cursor=" + answer.cursor, CURSOR_SECONDS);
    answer.results.forEach(({ error }) => error && complain(error.message));
    keep(settle(items, answer.results));
    limit = BATCH;
    // UNKNOWN: it is still here.
    if (items.includes(first)) throw {};
    return (failures = 0);
  } catch (refusal: any) {
    refuse(refusal, token);
    if (isRetried(refusal, failures)) return backoffMs(failures++, refusal);
    limit = batch.length >> 1 || 1;
    if (!batch[1]) {
      complain(refusal.message);
      keep(items.filter((item) => item !== first));
    }
    return 0;
  } finally {
    underWay = underWay.filter((item) => !batch.includes(item));
  }
};

/** Keep what waits in a place of this tab, and take over what closed tabs left behind. */
export const claim = (): void => {
  if (!isGranted()) return;
  if (!release) {
    const left = new Promise<void>((resolve) => (release = resolve));
    void locked(PREFIX + OWN, {}, () => left);
    for (const key in storage)
      if (key.startsWith(PREFIX + QUEUES) && key !== PREFIX + OWN)
        void locked(key, { ifAvailable: true }, (lock) => {
          if (!lock) return;
          try {
            keep([...(JSON.parse(storage[key]!) as Item[]), ...items]);
          } catch {}
          delete storage[key];
          void drain();
        });
  }
  keep(items);
  void drain();
};

/** The page goes: what it leaves behind may be taken over. */
export const leave = (): void => {
  release = release?.() as undefined;
};
