/** The rules of the queue, without I/O: what is sent next, and what an answer means for it. */
import { CONTENT_CODES, TEMPORARY } from "./codes.ts";
import type { ErrorCode, Status } from "./codes.ts";

/** An event, or the variables of another operation of snippet.graphql. Stored as JSON that later versions of this script read. */
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

/** Why a request failed: a refusal of the gateway; a number as `code` is an HTTP status or that of a DOMException. No code: no answer. */
export interface Refusal {
  code?: ErrorCode | number;
  message?: string;
  retryAfterMs?: number;
}

/** Events in one request. */
export const MAX_BATCH = 20;
const MAX_ITEMS = 1_000;
const MAX_DEFECTS = 8;

/** The first items that may go together: events, or one call of another kind. */
export const batchOf = (items: readonly Item[], limit: number): Item[] =>
  // Without a call findIndex returns -1, and -1 >>> 0 is larger than any index.
  items.slice(0, Math.min(limit, items.findIndex((item) => item.operation) >>> 0 || 1));

/** What these results leave of `items`, in order. A status that we do not know is treated as UNKNOWN: the item is sent again. */
export const settle = (items: readonly Item[], results: readonly Result[]): Item[] =>
  items.filter(
    (item) => !results.some(({ messageId, status }) => messageId === item.messageId && (status === "ACCEPTED" || status === "REJECTED")),
  );

/** The newest items, if there are too many. */
export const newest = (items: Item[]): Item[] => items.slice(-MAX_ITEMS);

/** Whether the same request may succeed later: there was no answer, it was not the gateway's, or its code is one of TEMPORARY. */
export const isTemporary = (refusal?: Refusal): boolean =>
  !refusal?.code || (refusal.code as number) > 0 || (TEMPORARY as readonly unknown[]).includes(refusal.code);

/** A batch was refused as a whole: whether to send it again as it is. After some tries its content is taken for the cause. */
export const isWorthRetrying = (refusal: Refusal, failures: number): boolean =>
  isTemporary(refusal) && (failures < MAX_DEFECTS || !(CONTENT_CODES as readonly unknown[]).includes(refusal.code));

/** The pause before the next try, in ms: doubles, and is random in its upper half, so that pages do not come all at once. */
export const backoffMs = (failures: number, refusal?: Refusal): number =>
  (refusal?.retryAfterMs || 0) + Math.min(15e3, 250 * 2 ** failures) * (1 + Math.random());
