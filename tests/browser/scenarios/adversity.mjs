/** What goes wrong around the snippet: refused credentials, visitors who leave, storage without access, missing files. */
import assert from "node:assert/strict";

import { add, call, headline, listening, makeToken, shown, showsExclusive, subjectOf, tokenOf, until, visit } from "../tools.mjs";
import { decision, falsify } from "./content.mjs";

const thrown = (page) => page.messages.filter((text) => text.startsWith("thrown"));
const complaints = (page) => page.messages.filter((text) => text.startsWith("error: live-banner"));
const names = (shop) => shop.events.map(({ name }) => name);

/** A context with a known visitor, whose token the shop's server made. */
async function knownVisitor(browser, shop, tokenSecret) {
  const context = await browser.newContext();
  const user = `user-${crypto.randomUUID()}`;
  await context.addCookies([{ name: "visitor_token", value: makeToken(user, tokenSecret), url: shop.url }]);
  return { context, user };
}

/** The gateway refuses every token: the page reports it once, and its tries become less frequent. */
export async function refusedTokens({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop, "/?tags=0");
  const token = makeToken("somebody", "a secret that the gateway does not have");
  await page.evaluate(async (token) => (await import("/live-banner.js")).configure({ token: async () => token }), token);
  await page.evaluate(() => {
    const banner = document.createElement("live-banner");
    banner.setAttribute("placement", "homepage-hero");
    banner.append(document.createElement("h2"));
    banner.firstChild.textContent = "Own";
    document.body.append(banner);
  });
  await until(() => complaints(page).length, () => page.messages.join("\n"));
  assert.ok(shop.count("Live") <= 4, `${shop.count("Live")} streams`);
  assert.equal(await headline(page), "Own");
}

/** A visitor logs out at the moment of leaving, before the chunk was loaded: the next page has a new visitor. */
export async function resetAndLeave({ browser, shop, tokenSecret }) {
  const { context, user } = await knownVisitor(browser, shop, tokenSecret);
  await context.route("**/live-banner.more.js*", (route) => route.abort());
  const page = await visit(context, shop, "/?tags=0");
  await page.evaluate(async () => {
    const { reset } = await import("/live-banner.js");
    void reset();
    location.href = "/?tags=0&next=1";
  });
  await page.waitForURL(/next=1/);
  assert.notEqual(subjectOf(await tokenOf(context)), user);
  assert.deepEqual(thrown(page), []);
}

/** A visitor logs out while a token is being renewed: the late answer does not bring the old visitor back. */
export async function resetDuringRenewal({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop);
  await listening(shop);
  const visitor = subjectOf(await tokenOf(context));
  let release;
  const held = new Promise((resolve) => (release = resolve));
  shop.fault = async ({ operation, variables }, response) => {
    if (operation === "Track" && shop.count("Track") === 1) {
      response.writeHead(200, { "content-type": "application/json" }).end('{"errors":[{"message":"no","extensions":{"code":"UNAUTHENTICATED"}}]}');
      return true;
    }
    if (operation === "Visit" && variables.token) await held;
    return false;
  };
  await call(page, "track", "CUSTOM", { name: "before" });
  await until(() => shop.requests.some(({ operation, variables }) => operation === "Visit" && variables.token), "the token was not renewed");
  await call(page, "reset");
  release();
  await until(async () => ![undefined, visitor].includes(subjectOf(await tokenOf(context))), "no new visit");
}

/** Consent is withdrawn while events are in flight and more wait: the gateway hears of it, and nothing stays. */
export async function withdrawal({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop);
  await listening(shop);
  const token = await tokenOf(context);
  shop.fault = ({ operation }) => operation === "Track";
  await call(page, "track", "CUSTOM", { name: "on its way" });
  await until(() => shop.count("Track"), "nothing was sent");
  await call(page, "track", "CUSTOM", { name: "waits" });
  await call(page, "setConsent", false);
  const consent = "query { userContext { consent { personalization } } }";
  await until(async () => (await shop.gql(token, consent))?.consent.personalization === false, "the gateway did not hear of it");
  assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), ["live-banner:consent"]);
  assert.equal(await tokenOf(context), undefined);
}

/** A visitor logs out in another tab while a page is in the back/forward cache: back again, it has a new visitor. */
export async function backFromTheCache({ browser, shop, tokenSecret }) {
  const { context, user } = await knownVisitor(browser, shop, tokenSecret);
  const page = await visit(context, shop);
  await listening(shop);
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pagehide", { persisted: true })));
  await page.evaluate(() => {
    document.cookie = "visitor_token=;max-age=0;path=/";
    localStorage["live-banner:visit"] = "elsewhere";
  });
  shop.requests.length = 0;
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })));
  await call(page, "track", "CUSTOM", { name: "back" });
  await until(() => shop.count("Live") && shop.count("Track"), "the page did not wake up");
  assert.ok(!shop.requests.some(({ operation, credential }) => operation !== "Visit" && subjectOf(credential) === user), "it went on as the old visitor");
}

/** A visitor logs in before consent: nothing is stored. An unknown value of `data-consent` counts as no consent. */
export async function noConsent({ browser, shop, tokenSecret }) {
  for (const word of ["pending", "declined"]) {
    const context = await browser.newContext();
    const page = await visit(context, shop, `/?ssr=0&consent=${word}`);
    await until(() => shop.count("Live"), "no stream was opened");
    await call(page, "identify", { token: makeToken("somebody", tokenSecret) });
    assert.deepEqual(await context.cookies(), []);
    assert.deepEqual(await page.evaluate(() => Object.keys(localStorage)), []);
    shop.requests.length = 0;
    await context.close();
  }
}

/** An event that cannot be written as JSON is reported and left out; a change after the call has no effect. */
export async function badPayloads({ browser, shop }) {
  const context = await browser.newContext();
  const page = await visit(context, shop, "/?tags=0");
  await page.evaluate(async () => {
    const { track } = await import("/live-banner.js");
    const loop = {};
    loop.loop = loop;
    track("CUSTOM", { name: "loop", properties: loop });
    const properties = { color: "red" };
    track("CUSTOM", { name: "good", properties });
    properties.color = "blue";
  });
  await until(() => names(shop).includes("good"), "the good event did not arrive");
  assert.deepEqual([...new Set(names(shop))], ["good"]);
  assert.equal(shop.events[0].properties.color, "red");
  assert.equal(complaints(page).length, 1);
}

/** The shop's own token service fails for a while, or returns null: events wait, and nothing is thrown. */
export async function tokenService({ browser, shop, tokenSecret }) {
  const context = await browser.newContext();
  const page = await visit(context, shop, "/?tags=0");
  const user = `user-${crypto.randomUUID()}`;
  await page.evaluate(async (token) => {
    const { configure, track } = await import("/live-banner.js");
    let asked = 0;
    configure({ token: () => (asked++ < 2 ? Promise.reject() : Promise.resolve(token)) });
    document.cookie = "visitor_token=;max-age=0;path=/";
    track("CUSTOM", { name: "waited" });
  }, makeToken(user, tokenSecret));
  await until(() => names(shop).includes("waited"), "it did not arrive");
  assert.equal(subjectOf(shop.requests.find(({ operation }) => operation === "Track").credential), user);
  const nobody = await browser.newContext();
  const other = await visit(nobody, shop, "/?tags=0");
  await other.evaluate(async () => {
    const { configure, track } = await import("/live-banner.js");
    configure({ token: async () => null });
    track("CUSTOM", { name: "anonymous" });
  });
  await until(() => names(shop).includes("anonymous"), "the event of the anonymous visitor did not arrive");
  assert.deepEqual([...thrown(page), ...thrown(other)], []);
}

/** A cookie of the shop whose name ends with the name of ours is not ours. */
export async function anotherCookie({ browser, shop }) {
  const context = await browser.newContext();
  await context.addCookies([{ name: "shop_visitor_token", value: "abc", url: shop.url }]);
  const subjects = new Set();
  for (let time = 0; time < 2; time++) {
    const page = await visit(context, shop, "/?ssr=0");
    await listening(shop);
    subjects.add(subjectOf(await tokenOf(context)));
    await page.close();
    await until(() => shop.streams.size === 0, "the stream stayed open");
  }
  assert.equal(subjects.size, 1);
}

/** The browser denies the page its storage: the visitor lasts as long as the page, and the banner follows. */
export async function closedStorage({ browser, shop }) {
  const context = await browser.newContext();
  await context.addInitScript(() => {
    const closed = () => {
      throw new DOMException("closed", "SecurityError");
    };
    Object.defineProperty(globalThis, "localStorage", { get: closed });
    navigator.locks.request = () => Promise.reject(new DOMException("closed", "SecurityError"));
  });
  const page = await visit(context, shop, "/?ssr=0");
  await listening(shop);
  await add(page, "smartphones");
  await showsExclusive(page, "smartphones");
  assert.deepEqual(thrown(page), []);
}

/** A stream with invalid data is closed before another is tried: a browser has six connections to a host. */
export async function nonsense({ browser, shop }) {
  const context = await browser.newContext();
  const open = new Set();
  shop.fault = ({ operation }, response) => {
    if (operation !== "Live") return false;
    open.add(response.socket);
    response.on("close", () => open.delete(response.socket));
    response.writeHead(200, { "content-type": "text/event-stream" }).write("event: next\ndata: {nonsense\n\n");
    return true;
  };
  const page = await visit(context, shop, "/?ssr=0");
  await until(() => shop.count("Live") >= 4, "it was not tried again");
  await until(() => open.size <= 1, () => `${open.size} streams are left open`);
  assert.deepEqual(thrown(page), []);
}

/** Something on the way answers an event with an error page of its own: the events after it get through. */
export async function firewall({ browser, shop }) {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.clock.install();
  shop.fault = ({ operation, variables }, response) => {
    if (operation !== "Track" || !JSON.stringify(variables).includes("<script>")) return false;
    response.writeHead(403, { "content-type": "text/html" }).end("<h1>Blocked</h1>");
    return true;
  };
  await page.goto(`${shop.url}/?tags=0`);
  await call(page, "track", "PRODUCTS_SEARCHED", { search: "<script>" });
  await call(page, "track", "CUSTOM", { name: "after" });
  const passed = () => shop.requests.some(({ operation, variables }) => operation === "Track" && variables.events.every(({ name }) => name === "after"));
  await until(async () => {
    await page.clock.runFor(5_000);
    return passed();
  }, "what came after was held up");
}

/** The chunk cannot be loaded at first: the banner that came meanwhile is shown later, and so are the next ones. */
export async function missingChunk({ browser, shop }) {
  const context = await browser.newContext();
  const before = await visit(context, shop);
  await listening(shop);
  await before.close(); // there is a visitor now: the chunk is only needed for the swap
  let isMissing = true;
  await context.route("**/live-banner.more.js*", (route) => (isMissing ? route.abort() : route.continue()));
  const first = await visit(context, shop, "/?ssr=0");
  await until(() => first.messages.some((text) => text.includes("ERR_FAILED")), "the chunk was not requested");
  isMissing = false;
  await until(async () => (await shown(first)).bannerId, "the banner that came meanwhile was lost");
  await listening(shop);
  await add(first, "smartphones");
  await showsExclusive(first, "smartphones");
  assert.deepEqual(thrown(first), []);
}

/** After a dismissal the next banner is visible again, even if the page swaps it; templates in the page's own content stay there. */
export async function hiddenAndNested({ browser, shop }) {
  const context = await browser.newContext();
  falsify(shop, decision({ headline: "First" }));
  const page = await visit(context, shop, "/?ssr=0&attributes=dismissible%3DClose");
  await until(async () => (await headline(page)) === "First", "the banner did not come");
  await page.click("live-banner .lb-dismiss");
  await page.evaluate(() => addEventListener("live-banner:change", (event) => event.preventDefault()));
  await page.mouse.move(0, 500);
  falsify(shop, decision({ headline: "Second" }));
  const { decisionId } = await shown(page);
  shop.cut();
  await until(async () => (await shown(page)).decisionId !== decisionId, "the next one did not come");
  assert.equal(await page.evaluate(() => document.querySelector("live-banner").hidden), false);

  falsify(shop, decision({ headline: "Banner" }));
  const other = await visit(context, shop, "/?tags=0");
  await other.evaluate(() => {
    const banner = document.createElement("live-banner");
    banner.setAttribute("placement", "homepage-hero");
    const card = document.createElement("template");
    card.id = "card";
    banner.append(document.createElement("h2"), card);
    banner.firstChild.textContent = "Own";
    banner.append(document.createElement("div"));
    banner.lastChild.append(card);
    document.body.append(banner);
  });
  await until(async () => (await headline(other)) === "Banner", "the banner did not come");
  falsify(shop, decision(null));
  shop.cut();
  await until(async () => (await headline(other)) === "Own", "the page's own content did not come back");
  assert.ok(await other.evaluate(() => document.querySelector("live-banner #card")));
}

/** Names and links of related products are used as text and addresses, even if they hold markup. */
export async function hostileProducts({ browser, shop }) {
  const hostile = `"'><img src=x onerror=alert(1)>`;
  const context = await browser.newContext();
  const products = [{ productId: hostile, category: hostile }];
  const link = { linkUrl: "/sale", ctaLabel: hostile, image: { url: "/x.svg", alt: hostile, width: 48, height: 32 } };
  falsify(shop, decision({ headline: hostile, body: hostile, products, ...link }));
  const page = await visit(context, shop, "/?tags=0");
  await page.evaluate(async () => {
    const { showProducts } = await import("/live-banner.more.js");
    showProducts(({ productId }) => ({ name: productId }));
    const banner = document.createElement("live-banner");
    banner.setAttribute("placement", "homepage-hero");
    document.body.append(banner);
  });
  await until(() => page.evaluate(() => document.querySelector(".lb-product")?.textContent), "no product was shown");
  const contents = await page.evaluate(() => {
    const text = (selector) => document.querySelector(`live-banner ${selector}`).textContent;
    const { alt } = document.querySelector("live-banner img");
    return [text("h2"), text("p"), text(".lb-link"), text(".lb-product"), alt, document.querySelectorAll("live-banner img").length];
  });
  assert.deepEqual(contents, [hostile, hostile, hostile, hostile, hostile, 1]);
  assert.equal(await page.evaluate(() => document.querySelector(".lb-product").hasAttribute("href")), false);
}
