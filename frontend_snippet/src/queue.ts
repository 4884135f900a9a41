/** The queue's rules, without I/O: what is sent next, and what an answer means for it. */
import { CONTENT_CODES, TEMPORARY } from "./codes.ts";
import type { ErrorCode, Status } from "./codes.ts";

/** An event, or the variables of another operation of snippet.graphql. Kept as JSON, also for later versions of this script. */
export interface Item {
  operation?: "Identify" | "Consent";
  messageId: string;
  [variable: string]: unknown;
}

export interface Result {
  messageId: string;
  status: Status;
  error?: { message: string } | null;
}

/** A refusal of the gateway; what is thrown without a code means that there was no answer. */
export interface Refusal {
  code?: ErrorCode | number;
  message?: string;
  retryAfterMs?: number;
}

/** Events that go together. */
export const BATCH = 20;
const MAX_ITEMS = 1_000;
const MAX_DEFECTS = 8;

/** The first items that may go together: events, or one call of another kind. */
export const batchOf = (items: readonly Item[], limit: number): Item[] =>
  // Without a call findIndex returns -1, and -1 >>> 0 is the largest index.
  items.slice(0, Math.min(limit, items.findIndex((item) => item.operation) >>> 0 || 1));

/** What is left of `items` after these results, in order. A status we do not know is taken as UNKNOWN: it is sent again. */
export const settle = (items: readonly Item[], results: readonly Result[]): Item[] =>
  items.filter((item) => !results.some(({ messageId, status }) => messageId === item.messageId && (status === "ACCEPTED" || status === "REJECTED")));

/** The newest of too many. */
export const bounded = (items: Item[]): Item[] => items.slice(-MAX_ITEMS);

/** Whether the same may succeed later: no answer at all (a DOMException has a number as its code), or THROTTLED, UNAVAILABLE, UNAUTHENTICATED, INTERNAL_SERVER_ERROR, PERSISTED_QUERY_NOT_FOUND. */
export const passes = (refusal?: Refusal): boolean => !refusal?.code || (refusal.code as number) > 0 || (TEMPORARY as readonly unknown[]).includes(refusal.code);

/** A batch was refused as a whole: whether to send it again as it is. A defect of the gateway may come from what is in it. */
export const isRetried = (refusal: Refusal, failures: number): boolean => passes(refusal) && (failures < MAX_DEFECTS || !(CONTENT_CODES as readonly unknown[]).includes(refusal.code));

/** How long to wait before the next try: doubling, in the upper half at random, so that pages do not come all at once. */
export const backoffMs = (failures: number, refusal?: Refusal): number =>
  (refusal?.retryAfterMs || 0) + Math.min(15e3, 250 * 2 ** failures) * (1 + Math.random());
