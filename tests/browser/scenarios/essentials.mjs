/** The page that a server rendered: adopted as it is, swapped once when the visitor acts, right after every cut. */
import assert from "node:assert/strict";

import { add, assertQuiet, exclusive, headline, listening, setVisible, shown, showsExclusive, tokenOf, until, visit, watched } from "../tools.mjs";

/** The banner is adopted without a mutation or shift; a cart event makes exactly one swap. */
export async function hybrid({ browser, shop }) {
  const context = await browser.newContext();
  const first = await visit(context, shop);
  await listening(shop);
  await first.close();
  const page = await visit(context, shop);
  await listening(shop);
  const before = await shown(page);
  assert.ok(before.decisionId && before.bannerId);
  await until(() => shop.events.some(({ type }) => type === "BANNER_VIEWED"), "it was not seen");
  assert.deepEqual((await watched(page)).mutations, []);
  await add(page, "smartphones");
  await showsExclusive(page, "smartphones");
  const after = await watched(page);
  assert.equal(after.heard.filter(([name]) => name === "change").length, 1);
  assert.equal(after.shifts, 0);
  assert.notEqual((await shown(page)).decisionId, before.decisionId);
  assertQuiet(shop, page);
}

/** A page from a cache is the same for all: it shows its own content first, then the visitor's banner. */
export async function cachedPage({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop, "/?ssr=0");
  await until(async () => (await shown(page)).bannerId, "no banner came");
  assert.notEqual(await headline(page), "Welcome to the shop");
  assertQuiet(shop, page);
}

/** Two tabs that are opened at the same time have one visitor; an action in one changes the other. */
export async function twoTabs({ browser, shop }) {
  const context = await browser.newContext();
  const [page, other] = await Promise.all([visit(context, shop, "/?ssr=0"), visit(context, shop, "/?ssr=0")]);
  await listening(shop, 2);
  assert.equal(shop.count("Visit"), 1);
  await add(page, "headphones");
  await Promise.all([showsExclusive(page, "headphones"), showsExclusive(other, "headphones")]);
  assertQuiet(shop, page, other);
}

/** The stream is cut at random moments while the visitor acts: the page ends with the right banner and swapped none again. */
export async function cuts({ browser, shop, times }) {
  const context = await browser.newContext();
  const page = await visit(context, shop);
  await listening(shop);
  const categories = ["smartphones", "headphones", "tablets"];
  for (let time = 0; time < times; time++) {
    if (time % 4 === 0) await add(page, categories[(time / 4) % 3]);
    await page.waitForTimeout(Math.random() * 300);
    shop.cut();
  }
  const last = categories[Math.floor((times - 1) / 4) % 3];
  await showsExclusive(page, last);
  await listening(shop);
  const changes = (await watched(page)).heard.filter(([name]) => name === "change");
  assert.equal(new Set(changes.map(([, , id]) => id)).size, changes.length, "a banner was swapped in again");
  assert.ok(changes.length <= Math.ceil(times / 4), `${changes.length} swaps for ${times / 4} events`);
  assertThrewNothing(page);
}

/** The gateway is killed and started again: events wait meanwhile, then the banner follows. */
export async function gatewayRestart({ browser, shop, ask }) {
  const context = await browser.newContext();
  const page = await visit(context, shop);
  await listening(shop);
  const before = await headline(page);
  await ask("stop gateway");
  await add(page, "tablets");
  assert.equal(await headline(page), before);
  await ask("start gateway");
  await showsExclusive(page, "tablets", 60_000); // pauses between tries grow to half a minute while the gateway is away
  assertThrewNothing(page);
}

/** A page is hidden and shown again, then left and restored, as from the back/forward cache. */
export async function hiddenAndShown({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop);
  await listening(shop);
  const other = await visit(context, shop);
  await listening(shop, 2);
  await setVisible(page, false);
  await until(() => shop.streams.size === 1, () => `a hidden page has no stream: ${shop.streams.size}, ${shop.count("Live")}`);
  await add(other, "smartphones");
  await showsExclusive(other, "smartphones");
  assert.notEqual(await headline(page), exclusive("smartphones"));
  await setVisible(page, true);
  await showsExclusive(page, "smartphones");
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true })));
  await setVisible(page, false);
  await until(() => shop.streams.size === 1, "a page that was left has no stream");
  await add(other, "headphones");
  await showsExclusive(other, "headphones");
  await setVisible(page, true);
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })));
  await showsExclusive(page, "headphones");
  assert.equal((await watched(page)).heard.filter(([name]) => name === "change").length, 2);
  assertQuiet(shop, page, other);
}

/** An event that is tracked while the page closes arrives, and counts once. */
export async function closings({ browser, shop, times }) {
  const context = await browser.newContext();
  const page = await visit(context, shop);
  await listening(shop);
  const token = await tokenOf(context);
  for (let time = 0; time < times; time++) {
    await page.evaluate(async () => {
      const { track } = await import("/live-banner.js");
      const product = { productId: "closing", category: "smartphones", quantity: 1 };
      addEventListener("pagehide", () => track("PRODUCT_ADDED", { product }));
    });
    await page.goto(`${shop.url}/?ssr=0&tags=0`);
  }
  const cart = "query { userContext { cart { productId quantity } } }";
  let quantity;
  await until(
    async () => (quantity = (await shop.gql(token, cart))?.cart[0]?.quantity) >= times,
    () => `${quantity} of ${times} arrived`,
  );
  assert.equal(quantity, times);
  assert.equal(new Set(shop.events.filter(({ type }) => type === "PRODUCT_ADDED").map(({ messageId }) => messageId)).size, times);
}

function assertThrewNothing(page) {
  assert.deepEqual(page.messages.filter((text) => text.startsWith("thrown")), []);
}
