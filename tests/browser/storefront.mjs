/** The storefront in a real Chromium: node storefront.mjs ADDRESS. Prints what is as expected; fails at the first that is not. */
import assert from "node:assert/strict";

import { launch } from "./chromium.mjs";
import { headline, until, visit, watched } from "./tools.mjs";

const shop = { url: process.argv[2] };
const browser = await launch();
const FORM = 'form[data-action="add"][data-product*="smartphones"] button';
const deals = (category) => `Exclusive deals on ${category} and accessories!`;
const changed = async (page) => (await watched(page)).mutations;
const texts = (page, selector) => page.evaluate((one) => document.querySelector(one)?.textContent ?? "", selector);

/** A visitor of the shop; requests to other origins and violations of its policy are recorded. */
async function visitor(options = {}) {
  const context = await browser.newContext(options);
  const foreign = [];
  const streams = [];
  context.on("request", (request) => {
    if (!request.url().startsWith(shop.url)) foreign.push(request.url());
    if (request.headers().accept === "text/event-stream") streams.push(request.url());
  });
  return { context, foreign, streams };
}

function quiet({ foreign }, page) {
  assert.deepEqual(foreign, [], "the page talks to its own origin alone");
  assert.deepEqual(page.messages.filter((text) => /^(error|thrown|warning)/.test(text)), []);
}

const held = {
  async "a click changes the open page, and the panel says why"() {
    const one = await visitor();
    const page = await visit(one.context, shop, "/?panel");
    assert.ok(await headline(page));
    await until(() => one.streams.length > 0, () => `the page does not listen: ${page.messages.join("; ")}`);
    assert.deepEqual(await changed(page), [], "the snippet adopts what the server rendered");
    await page.click(FORM);
    await until(async () => (await headline(page)) === deals("smartphones"), "the banner did not change");
    await until(async () => /updated in \d+ ms/.test(await texts(page, "[data-meter]")), "no latency was shown");
    await until(async () => /smartphones.*TARGETING_MATCH.*interest-deals: MATCHED.*ms from click/s.test(await texts(page, "[data-panel]")), "the panel does not say why");
    assert.equal(await texts(page, "[data-cart-count]"), "1");
    const { heard, shifts } = await watched(page);
    assert.equal(heard.filter(([name]) => name === "change").length, 1, "one change");
    assert.equal(shifts, 0, "nothing moves");
    quiet(one, page);

    const before = { streams: one.streams.length };
    const next = await visit(one.context, shop, "/");
    assert.equal(await headline(next), deals("smartphones"));
    await until(() => one.streams.length > before.streams, () => `the page does not listen: ${next.messages.join("; ")}`);
    assert.deepEqual(await changed(next), [], "the next page has it from the server");
    quiet(one, next);
  },

  async "without JavaScript the cart works and the banner follows it"() {
    const one = await visitor({ javaScriptEnabled: false });
    const page = await one.context.newPage();
    await page.goto(shop.url);
    await page.click(FORM);
    assert.match(page.url(), /\/cart$/);
    await page.goto(shop.url);
    assert.equal(await page.locator("live-banner h2").first().textContent(), deals("smartphones"));
    assert.deepEqual(one.foreign, []);
  },

  async "by script alone the banner comes into the shop's own content"() {
    const one = await visitor();
    const page = await visit(one.context, shop, "/?render=client");
    await until(async () => page.evaluate(() => document.querySelector("live-banner").dataset.decisionId), "no decision came");
    await page.click(FORM);
    await until(async () => (await headline(page)) === deals("smartphones"), "the banner did not change");
    quiet(one, page);
  },

  async "in the HTML alone there is no script"() {
    const one = await visitor();
    const page = await visit(one.context, shop, "/?render=server");
    assert.equal(await page.evaluate(() => document.scripts.length), 0);
    await page.click(FORM);
    await page.goto(`${shop.url}/?render=server`);
    assert.equal(await headline(page), deals("smartphones"));
    quiet(one, page);
  },
};

try {
  for (const [name, run] of Object.entries(held)) {
    await run();
    console.log(name);
  }
} finally {
  await browser.close();
}
