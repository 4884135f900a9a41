/**
 * Core and chunk of different releases. While a release is put in place, a page that is open has the core of the earlier one and loads
 * the chunk of the new one; a browser that cached one of the two files may have it the other way round. tests/browser/earlier_release
 * has both files from before the snippet's sources were first rearranged. Renew them only if the contract of
 * frontend_snippet/src/host.ts is broken on purpose, or if the document changes.
 */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

import { add, assertQuiet, call, listening, makeToken, showsExclusive, subjectOf, tokenOf, until, visit } from "../tools.mjs";

/** A context in which one file of the snippet is that of the earlier release. */
async function contextWith(browser, name) {
  const context = await browser.newContext();
  const path = fileURLToPath(new URL(`../earlier_release/${name}`, import.meta.url));
  await context.route(`**/${name}*`, (route) => route.fulfill({ path, contentType: "text/javascript" }));
  return context;
}

/** A visit starts, a banner is swapped, someone logs in and out, consent is withdrawn and given. */
async function visitorsLife(context, shop, tokenSecret) {
  const page = await visit(context, shop, "/?ssr=0");
  await listening(shop);
  const anonymous = subjectOf(await tokenOf(context));
  await add(page, "smartphones");
  await showsExclusive(page, "smartphones");
  const user = `user-${crypto.randomUUID()}`;
  await call(page, "identify", { token: makeToken(user, tokenSecret) });
  assert.equal(subjectOf(await tokenOf(context)), user);
  const known = "query { userContext { interestedCategory } }";
  const interest = async () => (await shop.gql(makeToken(user, tokenSecret), known))?.interestedCategory;
  await until(async () => (await interest()) === "smartphones", "the visitors were not joined");
  await call(page, "reset");
  await until(async () => ![undefined, user, anonymous].includes(subjectOf(await tokenOf(context))), "no new visit");
  await call(page, "setConsent", false);
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), ["live-banner:consent"]);
  await call(page, "setConsent", true, true);
  await until(() => tokenOf(context), "no visit after consent");
  assertQuiet(shop, page);
  await page.close();
}

/** The page's own token service, a document that the gateway does not know, a WebSocket, the panel. */
async function rareNeeds(context, shop, tokenSecret) {
  await until(() => shop.streams.size === 0, "the stream stayed open");
  shop.requests.length = 0;
  const page = await visit(context, shop, "/?ssr=0&transport=websocket&gw_debug");
  await listening(shop);
  assert.equal(shop.count("Live"), 0);
  let isKnown = false;
  shop.fault = ({ operation, query }, response) => {
    if (operation !== "Track" || (isKnown ||= query?.startsWith("subscription "))) return false;
    response.writeHead(200, { "content-type": "application/json" });
    response.end('{"errors":[{"message":"unknown","extensions":{"code":"PERSISTED_QUERY_NOT_FOUND"}}]}');
    return true;
  };
  const user = `user-${crypto.randomUUID()}`;
  await page.evaluate(async (token) => {
    document.cookie = "visitor_token=;max-age=0;path=/";
    localStorage["live-banner:visit"] = "elsewhere";
    dispatchEvent(new StorageEvent("storage"));
    (await import("/live-banner.js")).configure({ token: async () => token });
  }, makeToken(user, tokenSecret));
  await add(page, "headphones");
  await showsExclusive(page, "headphones");
  assert.ok(isKnown, "the document's text was not sent");
  assert.ok(shop.requests.some(({ operation, credential }) => operation === "Track" && subjectOf(credential) === user));
  const panel = () => page.evaluate(() => document.querySelector("pre").textContent);
  await until(async () => (await panel()).includes("interest-deals"), "the panel shows no campaign");
  assertQuiet(shop, page);
  await page.close();
  shop.fault = null;
}

/** A key that is not publishable is reported, and nothing is sent with it. */
async function wrongKey(context, shop) {
  const page = await visit(context, shop, "/?ssr=0&key=sk_wrong");
  const isReported = (text) => text.includes("data-key must be a publishable key");
  await until(() => page.messages.some(isReported), "the key was not reported");
  assert.ok(!shop.requests.some(({ credential }) => credential?.startsWith("Bearer sk_")), "the secret key was sent");
}

/** An open page: the core of the earlier release with the chunk of this one. */
export async function earlierCore({ browser, shop, tokenSecret }) {
  await visitorsLife(await contextWith(browser, "live-banner.js"), shop, tokenSecret);
  await rareNeeds(await contextWith(browser, "live-banner.js"), shop, tokenSecret);
  await wrongKey(await contextWith(browser, "live-banner.js"), shop);
}

/** A cached chunk: the core of this release with the chunk of the earlier one. */
export async function earlierChunk({ browser, shop, tokenSecret }) {
  await visitorsLife(await contextWith(browser, "live-banner.more.js"), shop, tokenSecret);
  await rareNeeds(await contextWith(browser, "live-banner.more.js"), shop, tokenSecret);
  await wrongKey(await contextWith(browser, "live-banner.more.js"), shop);
}
