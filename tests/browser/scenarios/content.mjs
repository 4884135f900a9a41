/** What is shown, and when it is not. */
import assert from "node:assert/strict";

import { add, assertQuiet, call, exclusive, headline, listening, makeToken, shown, showsExclusive, until, visit, watched } from "../tools.mjs";

const HOSTILE = `"'><img src=x onerror=alert(1)><script>alert(2)</script>`;

/** Answer a subscription with false decisions. That they were viewed is not forwarded, because the gateway would reject it. */
export const falsify = (shop, ...decisions) => {
  shop.fault = ({ operation }, response) => {
    if (operation !== "Live") return operation === "Track";
    response.writeHead(200, { "content-type": "text/event-stream" });
    const { socket } = response;
    shop.streams.add(socket);
    response.on("close", () => shop.streams.delete(socket));
    for (const bannerChanged of decisions) response.write(`event: next\ndata: ${JSON.stringify({ data: { bannerChanged } })}\n\n`);
    return true;
  };
};
export const decision = (banner, more = {}) => ({
  id: `d-${Math.random()}`, placement: "homepage-hero", reason: "TARGETING_MATCH", campaignId: "c", variant: null,
  banner: banner && { id: `b-${Math.random()}`, body: null, linkUrl: null, ctaLabel: null, image: null, products: [], data: null, ...banner }, ...more,
});

/** Markup in any field stays text, and links that run script are left out; through the real gateway too. */
export async function injection({ browser, shop }) {
  const context = await browser.newContext();
  const alerts = [];
  context.on("dialog", (dialog) => alerts.push(dialog.message()));
  const page = await visit(context, shop, "/?ssr=0");
  await listening(shop);
  await add(page, HOSTILE, HOSTILE);
  await until(async () => (await headline(page)) === exclusive(HOSTILE), "the banner did not come");
  await call(page, "track", "PRODUCTS_SEARCHED", { search: HOSTILE });
  const again = await visit(context, shop);
  await until(async () => (await headline(again)) === exclusive(HOSTILE), "the rendered banner did not come");
  assertQuiet(shop, page, again);
  await Promise.all([page.close(), again.close()]); // a browser opens six connections to a host
  const links = ["javascript:alert(1)", " java\nscript:alert(1)", "data:text/html,x", "vbscript:x", "JAVASCRIPT:alert(1)"];
  for (const linkUrl of links) {
    falsify(shop, decision({ headline: HOSTILE, body: `${HOSTILE}\u2028event: complete`, ctaLabel: HOSTILE, linkUrl, image: { url: linkUrl, alt: HOSTILE } }, { id: HOSTILE, campaignId: HOSTILE, variant: HOSTILE }));
    const bad = await visit(context, shop, "/?ssr=0");
    await until(async () => (await headline(bad)) === HOSTILE, "the false banner did not come");
    assert.deepEqual(await bad.evaluate(() => [...document.querySelectorAll("live-banner :is(a,img,script)")].length), 0);
    assert.equal((await shown(bad)).variant, HOSTILE);
    assertQuiet(shop, bad);
    await bad.close();
  }
  assert.deepEqual(alerts, []);
}

/** While the pointer is over the banner or the focus within, it is not swapped; the latest decision is shown afterwards. */
export async function notUnderThePointer({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop);
  await listening(shop);
  const before = await headline(page);
  await page.hover("live-banner h2");
  await add(page, "smartphones");
  await page.waitForTimeout(700);
  assert.equal(await headline(page), before);
  await page.mouse.move(0, 500);
  await showsExclusive(page, "smartphones");
  await page.focus("live-banner a");
  await add(page, "headphones");
  await page.waitForTimeout(700);
  assert.equal(await headline(page), exclusive("smartphones"));
  assert.ok(await page.evaluate(() => document.activeElement.matches("live-banner a")));
  await page.evaluate(() => document.activeElement.blur());
  await showsExclusive(page, "headphones");
  assertQuiet(shop, page);
}

/** The snippet runs before the page has arrived: a banner that the parser is still in is swapped when the page is complete. */
export async function stillArriving({ browser, shop, tokenSecret }) {
  let release;
  shop.rest = new Promise((resolve) => (release = resolve));
  const context = await browser.newContext();
  await context.addCookies([{ name: "visitor_token", value: makeToken(`user-${crypto.randomUUID()}`, tokenSecret), url: shop.url }]);
  const page = await visit(context, shop, "/?script=async", "commit");
  await listening(shop);
  await add(page, "smartphones");
  await until(() => shop.events.length, "the event was not sent");
  await until(() => page.evaluate(() => performance.getEntriesByType("resource").some(({ name }) => name.includes("live-banner.more.js"))), "no swap was tried");
  assert.equal((await watched(page)).heard.length, 0);
  release();
  await showsExclusive(page, "smartphones");
  assert.deepEqual(await page.evaluate(() => [document.readyState === "loading", document.querySelectorAll("live-banner h2").length]), [false, 1]);
  assert.deepEqual((await watched(page)).heard.map(([name]) => name).filter((name) => name === "change"), ["change"]);
  assertQuiet(shop, page);
}

/** A framework swaps the banner itself: it cancels the event and sets the content. */
export async function ownSwap({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop);
  await listening(shop);
  await page.evaluate(() => addEventListener("live-banner:change", (event) => (event.preventDefault(), (document.querySelector("live-banner h2").textContent = `mine: ${event.detail.banner.headline}`))));
  await add(page, "smartphones");
  await until(async () => (await headline(page)) === `mine: ${exclusive("smartphones")}`, "the event did not come");
  assert.ok((await shown(page)).campaignId);
  shop.cut();
  await listening(shop);
  assertQuiet(shop, page);
}

/** A decision has no banner: the page's own content comes back. */
export async function ownContent({ browser, shop }) {
  const context = await browser.newContext();
  falsify(shop, decision({ headline: "Sale" }));
  const page = await visit(context, shop, "/?ssr=0");
  await until(async () => (await headline(page)) === "Sale", "the banner did not come");
  falsify(shop, decision(null));
  shop.cut();
  await until(async () => (await watched(page)).heard.filter(([name]) => name === "change").length === 2, "no two changes");
  assert.equal(await headline(page), "Welcome to the shop");
  assert.equal((await shown(page)).bannerId, undefined);
  shop.fault = null;
  await page.close();
  await until(() => shop.streams.size === 0, "the stream stayed open");
  const rendered = await visit(context, shop);
  await listening(shop);
  falsify(shop, decision(null));
  shop.cut();
  await until(async () => (await headline(rendered)) === "Welcome to the shop", "the template's content did not come");
}

/** A single-page application navigates: the stream is opened again for the new address. */
export async function navigation({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop);
  await listening(shop);
  await page.evaluate(() => history.pushState({}, "", "/category/phones"));
  await until(() => shop.requests.some(({ operation, variables }) => operation === "Live" && variables.page.url.endsWith("/category/phones")), "no stream for the new address");
  const request = shop.requests.find(({ operation, variables }) => operation === "Live" && variables.page.url.endsWith("/category/phones"));
  assert.deepEqual(request.variables.shown, [], "on another page nothing is shown yet: what a cap would end is no longer kept");
  const before = shop.count("Live");
  await page.evaluate(() => (location.hash = "below"));
  await page.evaluate(() => document.body.append(document.createElement("live-banner")));
  await until(() => page.messages.some((text) => text.includes("needs a placement")), "no message");
  await page.evaluate(() => {
    const another = document.createElement("live-banner");
    another.setAttribute("placement", "homepage-hero");
    document.body.append(another);
  });
  await until(() => shop.count("Live") === before + 1, "the new banner has no stream");
  await until(() => page.evaluate(() => document.querySelectorAll("live-banner[data-decision-id]").length === 2), "the new banner stayed empty");
}

/** The gateway is unavailable, slow, or sends invalid answers: the page stays as it was rendered, and nothing is thrown. */
export async function badGateway({ browser, shop }) {
  const context = await browser.newContext();
  const answers = [
    (response) => response.destroy(),
    (response) => response.writeHead(502, { "content-type": "text/html" }).end("<h1>Bad gateway</h1>"),
    (response) => response.writeHead(200, { "content-type": "application/json" }).end('{"data":null}'),
    (response) => response.writeHead(200, { "content-type": "text/event-stream" }).end("event: next\ndata: {nonsense\n\nevent: next\ndata: null\n\n"),
    (response) => response.writeHead(200, { "content-type": "text/event-stream" }).end('event: next\ndata: {"data":{"bannerChanged":null}}\n\nevent: next\ndata: {"data":{"bannerChanged":{}}}\n\n'),
    () => undefined,
  ];
  for (const answer of answers) {
    shop.fault = (_, response) => (answer(response), true);
    const page = await visit(context, shop);
    const before = await headline(page);
    await until(() => shop.requests.length, "nothing was asked");
    await add(page, "smartphones");
    await page.waitForTimeout(300);
    assert.equal(await headline(page), before);
    assert.deepEqual(page.messages.filter((text) => text.startsWith("thrown")), []);
    await page.close();
  }
  assert.deepEqual(shop.violations, []);
}

/** Something on the way buffers streams: after some silence a query brings the banner. */
export async function silence({ browser, shop }) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.clock.install();
  shop.fault = ({ operation }) => operation === "Live";
  await page.goto(`${shop.url}/?ssr=0`);
  await until(() => shop.count("Live"), "no stream was tried");
  await page.clock.runFor(26_000);
  await until(() => shop.count("Ask"), "no query was sent");
  await until(async () => (await shown(page)).bannerId, "no banner came");
}

/** Mistakes of the page: one message for each, with the address of the documentation; the content stays. */
export async function mistakes({ browser, shop, publishable }) {
  const context = await browser.newContext();
  const page = await visit(context, shop, `/?ssr=0&placement=&tags=2&key=sk_${publishable.slice(3)}`);
  await until(() => page.messages.length >= 1, "no message");
  await call(page, "configure", { transprot: "sse" });
  await add(page, "smartphones");
  await until(() => page.messages.filter((text) => text.startsWith("error: live-banner")).length >= 3, () => page.messages.join("\n"));
  const errors = page.messages.filter((text) => text.startsWith("error: live-banner"));
  assert.equal(new Set(errors).size, errors.length, errors.join("\n"));
  for (const text of errors) assert.match(text, /See \S+$/);
  assert.equal(await headline(page), "Welcome to the shop");
  assert.ok(!shop.requests.some(({ credential }) => credential?.includes("sk_")), "the secret key was sent");
  assert.deepEqual(page.messages.filter((text) => text.startsWith("thrown")), []);
}

/** The classic script does the same, under one global name. */
export async function classic({ browser, shop }) {
  const context = await browser.newContext();
  const plain = await visit(context, shop, "/?script=none");
  const before = await plain.evaluate(() => Object.keys(globalThis));
  const page = await visit(context, shop, "/?script=classic");
  await listening(shop);
  const names = await page.evaluate(() => Object.keys(globalThis));
  assert.deepEqual(names.filter((name) => !before.includes(name)), ["liveBanner"]);
  await add(page, "smartphones");
  await showsExclusive(page, "smartphones");
  assertQuiet(shop, page);
}

/** The subscription runs over a WebSocket, is cut and resumed. */
export async function websocket({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop, "/?transport=websocket");
  await listening(shop);
  await add(page, "smartphones");
  await showsExclusive(page, "smartphones");
  shop.cut();
  await add(page, "headphones");
  await showsExclusive(page, "headphones");
  assert.equal(shop.count("Live"), 0);
  assert.equal((await watched(page)).heard.filter(([name]) => name === "change").length, 2);
  assert.deepEqual(shop.violations, []);
}
