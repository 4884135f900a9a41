/** The rules without I/O: what is sent next, when, and what an answer means. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { offsetOf, stampAfter } from "../src/clock.ts";
import type { ErrorCode, Status } from "../src/codes.ts";
import { parseEvents } from "../src/events.ts";
import { translate } from "../src/lazy/adapters.ts";
import { backoffMs, batchOf, isTemporary, isWorthRetrying, newest, settle } from "../src/queue.ts";
import type { Item } from "../src/queue.ts";

const event = (messageId: string): Item => ({ messageId, type: "CUSTOM" });
const call = (messageId: string): Item => ({ messageId, operation: "Identify" });
const ids = (items: readonly Item[]): string => items.map(({ messageId }) => messageId).join("");

test("a batch holds the first events, or one call alone, in order", () => {
  const items = [event("a"), event("b"), call("c"), event("d")];
  assert.equal(ids(batchOf(items, 20)), "ab");
  assert.equal(ids(batchOf(items, 1)), "a");
  assert.equal(ids(batchOf(items.slice(2), 20)), "c");
  assert.equal(ids(batchOf(items.slice(3), 20)), "d");
  assert.equal(ids(batchOf([], 20)), "");
});

test("what was accepted or rejected leaves; what is unknown or was not answered stays, in order", () => {
  const items = ["a", "b", "c", "d", "e"].map(event);
  const statuses = { a: "ACCEPTED", b: "UNKNOWN", c: "REJECTED", d: "SOMETHING_NEW" };
  const results = Object.entries(statuses).map(([messageId, status]) => ({ messageId, status: status as Status }));
  assert.equal(ids(settle(items, results)), "bde");
});

test("if there are too many items, the newest stay", () => {
  const items = Array.from({ length: 1_005 }, (_, index) => event(String(index)));
  assert.equal(newest(items).length, 1_000);
  assert.equal(newest(items)[0]!.messageId, "5");
});

test("a refusal is temporary or final by its code; no code means no answer, which is temporary", () => {
  const temporary = ["THROTTLED", "UNAVAILABLE", "UNAUTHENTICATED", "INTERNAL_SERVER_ERROR", "PERSISTED_QUERY_NOT_FOUND"];
  for (const code of [undefined, 20, ...temporary]) assert.ok(isTemporary({ code: code as ErrorCode }), `${code}`);
  const final = ["FORBIDDEN", "BAD_USER_INPUT", "PAYLOAD_TOO_LARGE", "BAD_REQUEST", "GRAPHQL_VALIDATION_FAILED", "CONFLICT", "SOMETHING_NEW"];
  for (const code of final) assert.ok(!isTemporary({ code: code as ErrorCode }), code);
});

test("after some tries the content of a batch is taken for the cause of a defect", () => {
  assert.ok(isWorthRetrying({ code: "INTERNAL_SERVER_ERROR" }, 7));
  assert.ok(!isWorthRetrying({ code: "INTERNAL_SERVER_ERROR" }, 8));
  assert.ok(isWorthRetrying({ code: "THROTTLED" }, 1_000));
  // An answer of something on the way to the gateway: its status shows whether the content of the batch may be the cause.
  for (const code of [400, 403, 410, 413])
    assert.deepEqual([isWorthRetrying({ code }, 7), isWorthRetrying({ code }, 8)], [true, false], `${code}`);
  for (const code of [404, 429, 502, 503]) assert.ok(isWorthRetrying({ code }, 1_000), `${code}`);
  assert.ok(isWorthRetrying({}, 1_000));
});

test("pauses double up to 30 s, are random in their upper half, and are never shorter than the gateway asks for", () => {
  for (let failures = 0; failures < 20; failures++) {
    const most = Math.min(30_000, 500 * 2 ** failures);
    for (let time = 0; time < 50; time++) {
      const pause = backoffMs(failures, {});
      assert.ok(pause >= most / 2 && pause <= most, `${failures}: ${pause}`);
      assert.ok(backoffMs(failures, { retryAfterMs: 900 }) >= 900);
    }
  }
});

test("times are the gateway's and only grow, unless a clock was corrected", () => {
  assert.equal(offsetOf("2026-01-01T00:00:10.000Z", Date.parse("2026-01-01T00:00:00Z"), Date.parse("2026-01-01T00:00:02Z")), 9_000);
  assert.ok(Number.isNaN(offsetOf("nonsense", 1, 2)));
  assert.equal(stampAfter(100, 200), 200);
  assert.equal(stampAfter(200, 200), 201);
  assert.equal(stampAfter(1_000, 200), 1_001);
  assert.equal(stampAfter(100_000, 200), 200);
});

test("an event stream is the same however it is cut into pieces", () => {
  const first = ':\n\nevent: next\nid: abc\ndata: {"a":"\u2028event: complete\\n"}\n\n';
  const stream = first + ":\r\n\r\nevent: next\r\ndata: 2\r\n\r\nevent: complete\ndata:\n\n";
  for (let size = 1; size <= stream.length; size++) {
    const events: unknown[] = [];
    let rest = "";
    for (let at = 0; at < stream.length; at += size) rest = parseEvents(rest + stream.slice(at, at + size), (data) => events.push(data));
    assert.deepEqual(events, [{ a: "\u2028event: complete\n" }, 2], `pieces of ${size}`);
    assert.equal(rest, "");
  }
});

test("calls to GA4 and Segment become our events", () => {
  const item = { item_id: "p1", item_name: "Phone", item_category: "smartphones", price: 99, quantity: 1 };
  const product = { productId: "p1", name: "Phone", category: "smartphones", price: 99, quantity: 1, currency: "EUR" };
  assert.deepEqual(translate("add_to_cart", { currency: "EUR", items: [item] })[1].product, product);
  assert.deepEqual(translate("purchase", { currency: "EUR", value: 99, transaction_id: "o1", items: [item] }), [
    "ORDER_COMPLETED",
    { name: "purchase", search: undefined, order: { orderId: "o1", value: 99, currency: "EUR", products: [product] } },
  ]);
  assert.equal(translate("Product Added", { product_id: "p1" })[1].product.productId, "p1");
  assert.equal(translate("search", { search_term: "usb-c" })[1].search, "usb-c");
  const types = {
    page_view: "PAGE_VIEWED",
    "Product List Viewed": "PRODUCT_LIST_VIEWED",
    view_cart: "CART_UPDATED",
    "Checkout Started": "CHECKOUT_STARTED",
    "Order Refunded": "ORDER_REFUNDED",
    sign_up: "CUSTOM",
  };
  for (const [name, type] of Object.entries(types)) assert.equal(translate(name)[0], type, name);
});
