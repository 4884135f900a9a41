/** Events: the queue, consent, and who the visitor is. */
import assert from "node:assert/strict";

import { add, assertQuiet, call, listening, makeToken, shown, showsExclusive, subjectOf, tokenOf, until, visit, watched } from "../tools.mjs";

const refuse = (response, code, extensions = {}) => {
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify({ errors: [{ message: `refused: ${code}`, extensions: { code, ...extensions } }] }));
  return true;
};

/** The network fails, then the page is closed: another page delivers what waited, in order and before its own events. */
export async function queueSurvives({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop, "/?ssr=0");
  await listening(shop);
  shop.fault = ({ operation }, response) => operation === "Track" && !response.destroy().writable;
  for (const category of ["a", "b", "c"]) await add(page, category, category);
  await until(() => shop.count("Track") > 0, "nothing was tried");
  const stored = await page.evaluate(() => Object.keys(localStorage).filter((key) => key.startsWith("live-banner:q.")));
  assert.equal(stored.length, 1);
  await page.close();
  shop.fault = null;
  shop.requests.length = 0;
  const next = await visit(context, shop, "/?ssr=0&tags=0");
  await add(next, "d", "d");
  await until(() => new Set(shop.events.map(({ product }) => product?.productId)).size >= 4, "some did not arrive");
  // A page that closes sends what waits without waiting for the request under way: on the wire the two may change places.
  const byTime = shop.events.toSorted((one, other) => one.timestamp.localeCompare(other.timestamp));
  const order = [...new Set(byTime.flatMap(({ product }) => product?.productId ?? []))];
  assert.deepEqual(order, ["a", "b", "c", "d"]);
  await until(() => next.evaluate(() => !Object.keys(localStorage).some((key) => key.startsWith("live-banner:q."))), "the queue is not empty");
}

/** Every batch with a certain event is refused: the other events get through, and that one is given up. */
export async function poison({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop, "/?tags=0");
  let open = false;
  const passed = [];
  shop.fault = ({ operation, variables }, response) => {
    if (operation !== "Track") return false;
    if (!open) return refuse(response, "THROTTLED", { retryAfterMs: 300 });
    if (variables.events.some(({ name }) => name === "poison")) return refuse(response, "BAD_USER_INPUT");
    passed.push(...variables.events.map(({ name }) => name));
    return false;
  };
  for (const name of ["one", "two", "poison", "three", "four"]) await call(page, "track", "CUSTOM", { name });
  await until(() => shop.count("Track"), "nothing was tried");
  open = true;
  await until(() => passed.length >= 4, () => `only ${passed}`);
  assert.deepEqual(passed, ["one", "two", "three", "four"]);
}

/** The gateway asks for a pause: the next try is not earlier. */
export async function throttled({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop, "/?tags=0");
  shop.fault = ({ operation }, response) => operation === "Track" && shop.count("Track") === 1 && refuse(response, "THROTTLED", { retryAfterMs: 900 });
  await call(page, "track", "CUSTOM", { name: "patient" });
  await call(page, "track", "CUSTOM", { name: "meanwhile" });
  await until(() => shop.count("Track") === 2, "it was not tried again");
  const [first, second] = shop.requests.filter(({ operation }) => operation === "Track");
  assert.ok(second.at - first.at >= 890, `tried again after ${second.at - first.at} ms`);
  assert.deepEqual(second.variables.events.map(({ name }) => name), ["patient", "meanwhile"]);
  assert.equal(second.variables.events[0].messageId, first.variables.events[0].messageId);
}

/** Before consent there is no token and nothing is stored, the key alone brings a banner; afterwards waiting events are sent. */
export async function consent({ browser, shop, publishable }) {
  const context = await browser.newContext();
  const page = await visit(context, shop, "/?consent=pending&ssr=0");
  await until(async () => (await shown(page)).bannerId, "no banner came");
  await add(page, "smartphones");
  await page.waitForTimeout(1200);
  assert.deepEqual(await context.cookies(), []);
  assert.deepEqual(await page.evaluate(() => [localStorage.length, sessionStorage.length]), [0, 0]);
  assert.deepEqual([...new Set(shop.requests.map(({ operation, credential }) => `${operation} ${credential}`))], [`Live Bearer ${publishable}`]);
  await call(page, "setConsent", true, true);
  await showsExclusive(page, "smartphones");
  assert.ok(await tokenOf(context));
  await call(page, "setConsent", false);
  await until(async () => !(await context.cookies()).some(({ name }) => name === "visitor_token"), "the token is still there");
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), ["live-banner:consent"]);
  assertQuiet(shop, page);
}

/** With Global Privacy Control nobody is followed until the visitor consents. */
export async function privacyControl({ browser, shop }) {
  const context = await browser.newContext();
  await context.addInitScript(() => Object.defineProperty(navigator, "globalPrivacyControl", { value: true }));
  const page = await visit(context, shop, "/?ssr=0");
  await listening(shop);
  assert.equal(shop.count("Visit"), 0);
  await call(page, "setConsent", true);
  await until(() => tokenOf(context), "no visit was started");
}

/** After a login the anonymous visitor's events count for the known one. After logout there is a new visitor, in all tabs. */
export async function loginAndLogout({ browser, shop, tokenSecret }) {
  const context = await browser.newContext();
  const [page, other] = [await visit(context, shop), await visit(context, shop)];
  await listening(shop, 2);
  const anonymous = subjectOf(await tokenOf(context));
  await add(page, "smartphones");
  await showsExclusive(page, "smartphones");
  const user = `user-${crypto.randomUUID()}`;
  await call(page, "identify", { token: makeToken(user, tokenSecret) });
  const known = "query { userContext { userId interestedCategory } }";
  await until(async () => (await shop.gql(makeToken(user, tokenSecret), known))?.interestedCategory === "smartphones", "the visitors were not joined");
  assert.equal(subjectOf(await tokenOf(context)), user);
  await until(() => shop.requests.filter(({ operation, credential }) => operation === "Live" && subjectOf(credential) === user).length >= 2, "a tab did not follow");
  await showsExclusive(other, "smartphones");
  await call(page, "reset");
  await until(async () => (await tokenOf(context)) && ![user, anonymous].includes(subjectOf(await tokenOf(context))), "no new visit");
  const neutral = async (tab) => (await shown(tab)).decisionId && !(await shown(tab)).campaignId;
  await until(() => neutral(page), "the page still shows a known person's banner");
  await until(() => neutral(other), "the other tab still shows a known person's banner");
  assertQuiet(shop, page, other);
}

/** A token that the gateway refuses is renewed, and the visitor stays the same. */
export async function renewal({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop);
  await listening(shop);
  const visitor = subjectOf(await tokenOf(context));
  shop.fault = ({ operation }, response) => operation === "Track" && shop.count("Track") === 1 && refuse(response, "UNAUTHENTICATED");
  await add(page, "smartphones");
  await showsExclusive(page, "smartphones");
  assert.equal(subjectOf(await tokenOf(context)), visitor);
  assert.equal(shop.count("Visit"), 2);
  assertQuiet(shop, page);
}

/** A banner is viewed, clicked, dismissed: each is reported to the page and to the gateway, once. */
export async function reports({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop, "/?ssr=0&attributes=dismissible%3DClose");
  await add(page, "smartphones");
  await showsExclusive(page, "smartphones");
  const banner = (type) => shop.events.filter((event) => event.type === type);
  await until(() => banner("BANNER_VIEWED").length, "not seen");
  await page.evaluate(() => document.querySelector("live-banner").addEventListener("click", (event) => event.preventDefault()));
  await page.click("live-banner a");
  await until(() => banner("BANNER_CLICKED").length, "not clicked");
  await page.click("live-banner .lb-dismiss");
  await until(() => banner("BANNER_DISMISSED").length, "not dismissed");
  assert.ok(await page.evaluate(() => document.querySelector("live-banner").hidden));
  const { heard } = await watched(page);
  const { decisionId, campaignId } = await shown(page);
  for (const action of ["clicked", "dismissed"])
    assert.deepEqual(heard.filter(([name]) => name === action), [[action, campaignId, decisionId]]);
  assert.ok(!page.messages.some((text) => text.includes("rejected")), page.messages.join());
  assertQuiet(shop, page);
}
