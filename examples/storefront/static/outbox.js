// The queue of events: first in, first out, kept in the browser's storage until the gateway has answered for each.
// Every event is an entry of its own, so tabs do not disturb each other; sent twice, it counts once by its message id.

import { backoffMs, mayPass, pause } from "./gateway.js";

const PREFIX = "shop.event.";
const MAX_EVENTS = 200;
const BATCH_EVENTS = 10;
const BATCH_CHARACTERS = 20_000; // a browser lets 64 KiB outlive their page

export class Outbox {
  /**
   * `storage` is Storage-like. `deliver(events)` gives the results of `track` or throws; `renew()` gets another token.
   */
  constructor({ storage, deliver, renew, wait = pause }) {
    Object.assign(this, { storage, deliver, renew, wait, sending: false, inFlight: new Set() });
  }

  /** Keep the event and send it. */
  add(event) {
    const time = String(Date.parse(event.timestamp)).padStart(15, "0");
    try {
      this.storage.setItem(`${PREFIX}${time}.${event.messageId}`, JSON.stringify(event));
    } catch (error) {
      console.warn(`No room to keep ${event.type}:`, error);
    }
    this.flush();
  }

  /** Keys of what waits, the oldest first. Beyond the limit the oldest are given up. */
  keys() {
    const found = [];
    for (let index = 0; index < this.storage.length; index += 1) {
      const key = this.storage.key(index);
      if (key.startsWith(PREFIX)) found.push(key);
    }
    found.sort();
    for (const key of found.splice(0, Math.max(0, found.length - MAX_EVENTS))) this.storage.removeItem(key);
    return found;
  }

  /** Send until nothing waits. */
  async flush() {
    if (this.sending) return;
    this.sending = true;
    try {
      for (let failures = 0, limit = BATCH_EVENTS; ; ) {
        const batch = this.batch(limit);
        if (batch.length === 0) return;
        const { retryAfterMs, refused } = await this.send(batch);
        failures = retryAfterMs === null ? 0 : failures + 1;
        limit = refused ? 1 : BATCH_EVENTS;
        if (retryAfterMs !== null) await this.wait(Math.max(retryAfterMs, backoffMs(failures - 1)));
      }
    } finally {
      this.sending = false;
    }
  }

  /** The page is going: send what waits without waiting for the answer. */
  sendNow() {
    const batch = this.batch(BATCH_EVENTS).filter(({ key }) => !this.inFlight.has(key));
    if (batch.length > 0) this.send(batch);
  }

  batch(limit) {
    const found = [];
    let characters = 0;
    for (const key of this.keys().slice(0, limit)) {
      const text = this.storage.getItem(key);
      if (text === null) continue; // another tab has sent it meanwhile
      characters += text.length;
      if (found.length > 0 && characters > BATCH_CHARACTERS) break;
      try {
        found.push({ key, event: JSON.parse(text) });
      } catch {
        this.storage.removeItem(key); // not written by this script
      }
    }
    return found;
  }

  /** One request. `retryAfterMs` null: go on at once; `refused`: the batch as a whole, so its events are sent singly. */
  async send(batch) {
    for (const { key } of batch) this.inFlight.add(key);
    try {
      const results = await this.deliver(batch.map(({ event }) => event));
      const statuses = new Map(results.map((result) => [result.messageId, result]));
      let unknown = false;
      for (const { key, event } of batch) {
        const { status = "UNKNOWN", error } = statuses.get(event.messageId) ?? {};
        if (status === "REJECTED") console.warn(`The gateway rejected ${event.type}: ${error?.code} ${error?.message}`);
        if (status === "ACCEPTED" || status === "REJECTED") this.storage.removeItem(key);
        else unknown = true;
      }
      return { retryAfterMs: unknown ? 0 : null, refused: false };
    } catch (error) {
      return this.failed(batch, error);
    } finally {
      for (const { key } of batch) this.inFlight.delete(key);
    }
  }

  async failed(batch, error) {
    if (mayPass(error)) {
      if (error.code === "UNAUTHENTICATED") await this.renew().catch(() => null);
      return { retryAfterMs: error.retryAfterMs ?? 0, refused: false };
    }
    if (batch.length === 1) {
      console.warn(`The gateway refused ${batch[0].event.type}: ${error.code} ${error.message}`);
      this.storage.removeItem(batch[0].key);
    }
    return { retryAfterMs: null, refused: true };
  }
}

/** The storage that `find` gives, or one in memory when the browser allows none. */
export function reliableStorage(find) {
  try {
    const storage = find();
    storage.setItem("shop.probe", "1");
    storage.removeItem("shop.probe");
    return storage;
  } catch {
    const entries = new Map();
    return {
      get length() {
        return entries.size;
      },
      key: (index) => [...entries.keys()][index] ?? null,
      getItem: (key) => entries.get(key) ?? null,
      setItem: (key, value) => void entries.set(key, value),
      removeItem: (key) => void entries.delete(key),
    };
  }
}
