/**
 * A recipe's page in a real Chromium: node recipes.mjs '{"recipe": …, "url": its address, "gateway": the gateway's}'.
 * Prints one line for each behaviour that it found as expected; fails at the first that is not.
 */
import assert from "node:assert/strict";

import { launch } from "./chromium.mjs";
import { exclusive, headline, shown, showsExclusive, tokenOf, until, visit, watched } from "./tools.mjs";

const { recipe, url, gateway } = JSON.parse(process.argv[2]);
const browser = await launch();

/** The scripts that make the page the framework's. */
const FRAMEWORK = recipe === "next" ? "**/_next/static/chunks/*.js" : "**/assets/client.js";
/** The pictures of the campaigns are the storefront's. */
const PICTURE = { contentType: "image/svg+xml", body: '<svg xmlns="http://www.w3.org/2000/svg" width="48" height="32"/>' };

/** A page of a new visitor, which listens when this returns. `prepare` gets the context before the page is opened. */
async function open(prepare = () => {}) {
  const context = await browser.newContext();
  await context.route(/\.(svg|ico)$/, (route) => route.fulfill(PICTURE));
  await prepare(context);
  const streams = [];
  context.on("response", (response) => /event-stream/.test(response.headers()["content-type"]) && streams.push(response.url()));
  const loaded = visit(context, { url });
  // A page whose scripts are held back is not loaded yet.
  const page = await Promise.race([loaded, context.waitForEvent("page")]);
  await until(() => streams.length > 0, () => `the page does not listen: ${page.messages?.join("; ")}`);
  assert.deepEqual(streams, [`${url}/graphql`], "one stream, under the page's own origin");
  return page;
}

/** The visitor of the page views a product in another tab; the banner of the page follows. */
async function look(page, category) {
  const event = { messageId: `m-${Math.random()}`, type: "PRODUCT_VIEWED", timestamp: new Date().toISOString(), product: { productId: "p", category } };
  const headers = { "content-type": "application/json", authorization: `Bearer ${await tokenOf(page.context())}` };
  const query = "mutation($events: [EventInput!]!) { track(events: $events) { results { status } } }";
  const answer = await fetch(`${gateway}/graphql`, { method: "POST", headers, body: JSON.stringify({ query, variables: { events: [event] } }) });
  assert.equal((await answer.json()).data.track.results[0].status, "ACCEPTED");
  await showsExclusive(page, category);
}

/** Whether the framework has taken over an element, by default the one around the banner. */
const isHydrated = (page, selector = "div:has(> live-banner)") =>
  page.evaluate((selector) => {
    const isVues = Boolean(document.querySelector("#root")?.__vue_app__);
    return isVues || Object.keys(document.querySelector(selector)).some((key) => key.startsWith("__reactProps$"));
  }, selector);

const hydrated = (page) => until(() => isHydrated(page), () => `the page does not hydrate: ${page.messages?.join("; ")}`);
const counted = (page) => page.evaluate(() => [...document.querySelectorAll("output")].map(({ textContent }) => textContent).join());
const renderedAt = (page) => page.evaluate(() => document.querySelector("time")?.textContent);
const assertQuiet = (page) => assert.deepEqual(page.messages.filter((text) => /^(error|thrown|warning)/.test(text)), []);

/** A click in the hydrated page: the framework counts it, the gateway hears of it, the banner answers. */
async function follows(page, changes = 1) {
  const [counts, before] = [recipe === "next" ? "1" : `1,${changes}`, await renderedAt(page)];
  await page.evaluate(() => (document.querySelector("live-banner").isTheSame = true));
  await page.click("button");
  await showsExclusive(page, "smartphones");
  await until(async () => (await counted(page)) === counts, `the framework did not count to ${counts}`);
  if (recipe === "next") await until(async () => (await renderedAt(page)) !== before, "the server did not render again");
  // The framework has rendered since: the banner is as the snippet left it.
  assert.ok(await page.evaluate(() => document.querySelector("live-banner").isTheSame));
  assert.equal(await headline(page), exclusive("smartphones"));
  assert.equal((await shown(page)).campaignId, "interest-deals");
  assertQuiet(page);
}

const always = {
  async "the first page has the banner and the cookie, and no cache keeps it"() {
    const first = await fetch(url);
    assert.equal((await first.text()).match(/<live-banner[^>]* data-decision-id="[^"]+"[^>]* data-banner-id="/g)?.length, 1);
    assert.match(first.headers.get("cache-control"), /private.*no-store/);
    const cookie = first.headers.get("set-cookie");
    assert.match(cookie, /^visitor_token=[\w.-]+; .*Max-Age=2592000.*SameSite=Lax$/i);
    const second = await fetch(url, { headers: { cookie: cookie.split(";")[0] } });
    assert.equal(second.headers.get("set-cookie"), null, "the same visitor");
  },

  async "the stream ends when the visitor leaves"() {
    const streams = async () => Number((await (await fetch(`${gateway}/metrics`)).text()).match(/^gateway_subscriptions (\S+)/m)[1]);
    await open();
    await until(async () => (await streams()) > 0, "the gateway serves no stream");
    await Promise.all(browser.contexts().map((context) => context.close()));
    await until(async () => (await streams()) === 0, "the gateway still serves a visitor who has left");
  },
};

const ofFrameworks = {
  async "the banner is adopted untouched and follows a click"() {
    const page = await open();
    await hydrated(page);
    assert.deepEqual((await watched(page)).mutations, []);
    await follows(page);
    await page.reload();
    assert.equal(await headline(page), exclusive("smartphones"), "the next page has it from the server");
  },

  async "a swap before hydration stays"() {
    const { promise: released, resolve: release } = Promise.withResolvers();
    const page = await open((context) => context.route(FRAMEWORK, (route) => released.then(() => route.continue())));
    await look(page, "headphones");
    assert.ok(!(await isHydrated(page)));
    release();
    await hydrated(page);
    assert.equal(await headline(page), exclusive("headphones"));
    await follows(page);
  },
};

const ofOne = {
  express: {
    async "the banner is adopted untouched and follows an event"() {
      const page = await open();
      assert.deepEqual((await watched(page)).mutations, []);
      await page.evaluate(async () => {
        const { track } = await import("/static/live-banner.js");
        track("PRODUCT_ADDED", { product: { productId: "p1", category: "smartphones" } });
      });
      await showsExclusive(page, "smartphones");
      assertQuiet(page);
    },
  },

  react: {
    async "swaps while React hydrates stay"() {
      // React's scheduler works by setImmediate where there is one: now each piece of work waits to be let go.
      const hold = () => {
        globalThis.work = [];
        globalThis.setImmediate = (piece) => void (globalThis.work ? globalThis.work.push(piece) : setTimeout(piece));
      };
      const page = await open((context) => context.addInitScript(hold));
      await until(() => page.evaluate(() => globalThis.work.length > 0), "React does not begin");
      await look(page, "headphones");
      assert.ok(!(await isHydrated(page, "button")), "hydrateRoot was called, nothing is hydrated");
      await until(async () => (await page.evaluate(() => globalThis.work.shift()?.()), isHydrated(page, "button")), "React does not go on");
      assert.ok(!(await isHydrated(page)), "the page is hydrated, the banner's boundary is not");
      await look(page, "watches");
      await page.evaluate(() => {
        const waiting = globalThis.work;
        globalThis.work = undefined;
        for (const piece of waiting) setTimeout(piece);
      });
      await hydrated(page);
      assert.equal(await headline(page), exclusive("watches"));
      await follows(page);
    },
  },

  vue: {
    async "older HTML in a later render does not come back"() {
      const page = await open();
      await hydrated(page);
      await look(page, "headphones");
      await page.evaluate(() => (document.querySelector("#root")._vnode.component.props.banner = "older"));
      await follows(page, 2);
    },
  },

  next: {},
};

try {
  const held = { ...always, ...(recipe === "express" ? {} : ofFrameworks), ...ofOne[recipe] };
  for (const [name, run] of Object.entries(held)) {
    await run();
    console.log(name);
  }
} finally {
  await browser.close();
}
