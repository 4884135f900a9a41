/** What scenarios share: pages that are watched, and waits for conditions. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";

const DEADLINE_MS = 15_000;

/** Wait until `holds` returns something truthy; returns that. */
export async function until(holds, what, withinMs = DEADLINE_MS) {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const value = await holds();
    if (value) return value;
    assert.ok(Date.now() < deadline, typeof what === "function" ? what() : what);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Open a page and record its console and the mutations and layout shifts of its banners. */
export async function visit(context, shop, path = "/", waitUntil = "load") {
  const page = await context.newPage();
  page.messages = [];
  page.on("console", (message) => page.messages.push(`${message.type()}: ${message.text()}`));
  page.on("pageerror", (problem) => page.messages.push(`thrown: ${problem.message}`));
  await page.addInitScript(() => {
    const watched = { mutations: [], shifts: 0, heard: [] };
    globalThis.watched = watched;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) if (!entry.hadRecentInput) watched.shifts += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
    for (const name of ["change", "viewed", "clicked", "dismissed"])
      addEventListener(`live-banner:${name}`, ({ detail }) => watched.heard.push([name, detail.campaignId ?? null, detail.id ?? detail.decisionId]));
    const observer = new MutationObserver((records) => {
      if (document.readyState === "loading") return;
      for (const { target, type, attributeName } of records) {
        const banner = (target.nodeType === 1 ? target : target.parentElement)?.closest("live-banner");
        if (banner) watched.mutations.push(attributeName ?? type);
      }
    });
    observer.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
    // The parser's changes are reported later than they were made: drop them when it ends, which is before any module runs.
    document.addEventListener("readystatechange", () => observer.takeRecords(), { once: true });
  });
  await page.goto(shop.url + path, { waitUntil });
  return page;
}

export const watched = (page) => page.evaluate(() => globalThis.watched);
export const headline = (page) => page.evaluate(() => document.querySelector("live-banner h2")?.textContent);
export const shown = (page) => page.evaluate(() => ({ ...document.querySelector("live-banner").dataset }));
export const call = (page, name, ...parameters) =>
  page.evaluate(async ([name, parameters]) => (globalThis.liveBanner ?? (await import("/live-banner.js")))[name](...parameters), [name, parameters]);

export const add = (page, category, productId = `p-${Math.random()}`) => call(page, "track", "PRODUCT_ADDED", { product: { productId, category } });
export const exclusive = (category) => `Exclusive deals on ${category} and accessories!`;
export const showsExclusive = (page, category, withinMs = DEADLINE_MS) =>
  until(async () => (await headline(page)) === exclusive(category), `the banner for ${category} did not come`, withinMs);

/** The stream is open. */
export const listening = (shop, streams = 1) => until(() => shop.streams.size >= streams, () => `${shop.streams.size} streams, not ${streams}`);

/** The page threw nothing, reported no error and kept to its policy. */
export function assertQuiet(shop, ...pages) {
  assert.deepEqual(shop.violations, []);
  for (const page of pages) assert.deepEqual(page.messages.filter((text) => /^(thrown|error)/.test(text)), []);
}

export const tokenOf = async (context) => (await context.cookies()).find(({ name }) => name === "visitor_token")?.value;
export const subjectOf = (token) => JSON.parse(Buffer.from((token ?? "").split(".")[1] ?? "e30", "base64url")).sub;

/** A visitor token as the shop's server makes it (JWT, HS256). */
export function makeToken(subject, secret) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: subject, exp: Math.floor(Date.now() / 1000) + 900 })}`;
  return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
}

/** As if the visitor had changed to another tab, or come back. */
export const setVisible = (page, visible) =>
  page.evaluate((visible) => {
    Object.defineProperty(document, "visibilityState", { configurable: true, value: visible ? "visible" : "hidden" });
    Object.defineProperty(document, "hidden", { configurable: true, value: !visible });
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
  }, visible);
