/** The queue of events: first in, first out, stored until the gateway has answered for each. */
import { runOperation } from "./http.ts";
import { complain, currentPage, PREFIX } from "./options.ts";
import { backoffMs, batchOf, isWorthRetrying, MAX_BATCH, newest, settle } from "./queue.ts";
import type { Item, Refusal, Result } from "./queue.ts";
import {
  credential, formatTime, isGranted, isRefused, newId, nextTimestamp, nowMs, setCookie, storage, store, validToken, withLock,
} from "./visitor.ts";

interface Answer {
  results: Result[];
  cursor: string | null;
  serverTime: string;
}

const CURSOR_SECONDS = 60;
/** In UTF-16 units: at most 60,000 bytes of UTF-8, and a browser lets 64 KiB outlive their page. */
const MAX_KEPT_ALIVE = 20_000;
const QUEUES = "q.";
const OWN_QUEUE = QUEUES + newId();

let items: Item[] = [];
let inFlight: Item[] = [];
let limit = MAX_BATCH;
let failures = 0;
let isDraining: unknown;
let releaseLock: (() => void) | undefined;

/** Ends the pause before the next try; undefined while there is none. */
export let retryNow: (() => void) | undefined;

/** Replace what waits, here and in storage. */
export const replaceQueue = (waiting: Item[]): void => {
  items = newest(waiting);
  store(OWN_QUEUE, JSON.stringify(items));
  if (!items[0]) delete storage[PREFIX + OWN_QUEUE];
};

const nextBatch = (): Item[] => (isGranted() ? batchOf(items.filter((item) => !inFlight.includes(item)), limit) : []);

/** Put an item into the queue and send it. It is copied at once; what cannot be written as JSON is reported and left out. */
export const enqueue = (item: object): void => {
  try {
    replaceQueue([...items, JSON.parse(JSON.stringify({ messageId: newId(), timestamp: nextTimestamp(), ...item }))]);
  } catch (problem) {
    return complain(problem);
  }
  // Items of the same moment go together.
  queueMicrotask(drain);
};

/** Put an event into the queue, with the page where it happened. */
export const enqueueEvent = (event: object): void => enqueue({ page: currentPage(), ...event });

const drain = async (): Promise<void> => {
  if (isDraining) return;
  for (let batch; (isDraining = (batch = nextBatch())[0]); ) {
    const delayMs = await send(batch).catch((problem: Refusal) => backoffMs(failures++, problem));
    if (delayMs)
      await new Promise<void>((resolve) => {
        retryNow = resolve;
        setTimeout(resolve, delayMs);
      });
    retryNow = undefined;
  }
};

/**
 * The page may go, or the visitor: send what is not in flight without waiting for its turn, unless the gateway asked for a pause. What
 * is not sent stays stored.
 */
export const flush = async (): Promise<unknown> => !retryNow && validToken() && nextBatch()[0] && send(nextBatch());

/** One request; returns the pause before the next, in ms. */
const send = async (batch: Item[]): Promise<number> => {
  const [first] = batch as [Item];
  const token = validToken() || (await credential());
  inFlight = [...inFlight, ...batch];
  try {
    const answer = await runOperation<Answer>(
      first.operation || "Track",
      { sentAt: formatTime(nowMs()), ...(first.operation ? first : { events: batch }) },
      token,
      JSON.stringify(batch).length < MAX_KEPT_ALIVE,
    );
    if (answer.cursor) setCookie("visitor_cursor=" + answer.cursor, CURSOR_SECONDS);
    answer.results.forEach(({ error }) => error && complain(error.message));
    replaceQueue(settle(items, answer.results));
    limit = MAX_BATCH;
    // UNKNOWN: it is still here.
    if (items.includes(first)) throw {};
    return (failures = 0);
  } catch (refusal: any) {
    isRefused(refusal, token);
    if (isWorthRetrying(refusal, failures)) return backoffMs(failures++, refusal);
    limit = batch.length >> 1 || 1;
    if (!batch[1]) {
      complain(refusal.message);
      replaceQueue(items.filter((item) => item !== first));
    }
    return 0;
  } finally {
    inFlight = inFlight.filter((item) => !batch.includes(item));
  }
};

/** Store what waits under the name of this tab, and take over the queues of tabs that are closed. */
export const claimQueues = (): void => {
  if (!isGranted()) return;
  if (!releaseLock) {
    const released = new Promise<void>((resolve) => (releaseLock = resolve));
    void withLock(PREFIX + OWN_QUEUE, {}, () => released);
    for (const key in storage)
      if (key.startsWith(PREFIX + QUEUES) && key !== PREFIX + OWN_QUEUE)
        void withLock(key, { ifAvailable: true }, (lock) => {
          if (!lock) return;
          try {
            replaceQueue([...(JSON.parse(storage[key]!) as Item[]), ...items]);
          } catch {}
          delete storage[key];
          void drain();
        });
  }
  replaceQueue(items);
  void drain();
};

/** The page goes: other tabs may take over what it leaves. */
export const releaseQueue = (): void => {
  releaseLock = releaseLock?.() as undefined;
};
