/**
 * Loads pages in the real Chromium of tests/browser and measures each: a line of JSON in (see `Browser.load`),
 * a line out ({"done": the fields of `PageLoad` in page_report.py} or {"failed": text}). Durations are in milliseconds since the
 * navigation started.
 */
import { createInterface } from "node:readline";

import { launch } from "../tests/browser/chromium.mjs";

const DEADLINE_MS = 15_000;
const SWAPPED_MS = 250; // observed for this long after a swap: its image loads, and shifts are reported with the next frames
const VIEW = { width: 1280, height: 900 };
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");

/** Runs in the page before anything else: records what can only be observed while it happens. */
function watch() {
  const seen = (globalThis.seen = { lcp_ms: 0, changed_ms: null, has_decision: false, shift: 0 });
  const each = (type, take) => new PerformanceObserver((list) => list.getEntries().forEach(take)).observe({ type, buffered: true });
  each("largest-contentful-paint", ({ startTime }) => (seen.lcp_ms = startTime));
  each("layout-shift", ({ value }) => (seen.shift += value));
  let first = "";
  new MutationObserver(() => {
    const text = document.querySelector("live-banner h2")?.textContent ?? "";
    if (first && text !== first) seen.changed_ms ??= performance.now();
    first ||= text;
  }).observe(document, { subtree: true, childList: true, characterData: true });
  // When the parser ends, the page is as the server wrote it, and no module has run.
  const parsed = () => (seen.has_decision = Boolean(document.querySelector("live-banner").dataset.decisionId));
  document.addEventListener("readystatechange", parsed, { once: true });
}

/** Runs in the page: puts a phone into the cart with the page's form; the time until the banner names it, null if it never does. */
function swap(deadlineMs) {
  return new Promise((resolve) => {
    const banner = document.querySelector("live-banner");
    const observer = new MutationObserver(() => {
      if (!banner.querySelector("h2")?.textContent.includes("smartphones")) return;
      observer.disconnect();
      resolve(performance.now() - started);
    });
    observer.observe(banner, { subtree: true, childList: true, characterData: true });
    setTimeout(resolve, deadlineMs, null);
    const started = performance.now();
    document.querySelector('form[data-action="add"][data-product*="smartphones"]').requestSubmit();
  });
}

/** Runs in the page: the entries of its timelines. */
function timings() {
  const [{ responseStart, loadEventEnd }] = performance.getEntriesByType("navigation");
  return { ttfb_ms: responseStart, loaded_ms: loadEventEnd, ...globalThis.seen };
}

/**
 * What the browser reports about the page: bytes of scripts over the network, when the head of the event stream arrived, when the
 * first content was painted (which the page itself only learns in steps of 4 ms). Moments are seconds of the browser's own clock.
 */
async function observe(devtools) {
  const scripts = new Map(); // request id to {url, bytes}
  const at = { stream: once(), paint: once() };
  devtools.on("Network.responseReceived", ({ requestId, type, timestamp, response }) => {
    if (type === "Script") scripts.set(requestId, { url: response.url, bytes: 0 });
    if (response.mimeType === "text/event-stream") at.stream.resolve(timestamp);
  });
  devtools.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
    if (scripts.has(requestId)) scripts.get(requestId).bytes = encodedDataLength;
  });
  devtools.on("Page.lifecycleEvent", ({ name, timestamp }) => name === "firstContentfulPaint" && at.paint.resolve(timestamp));
  await Promise.all(["Network.enable", "Performance.enable", "Page.enable"].map((method) => devtools.send(method)));
  await devtools.send("Page.setLifecycleEventsEnabled", { enabled: true });
  return { scripts, at };
}

function once() {
  let resolve;
  const promise = new Promise((settle) => (resolve = settle));
  return { promise, resolve };
}

const late = (what) => new Promise((_, reject) => setTimeout(reject, DEADLINE_MS, new Error(`${what} within ${DEADLINE_MS} ms`)).unref());

async function load(browser, { url, token, observeMs, isLive, swapMs }) {
  const context = await browser.newContext({ viewport: VIEW });
  try {
    if (token) await context.addCookies([{ name: "visitor_token", value: token, url }]);
    const page = await context.newPage();
    await page.addInitScript(watch);
    const devtools = await context.newCDPSession(page);
    const { scripts, at } = await observe(devtools);
    await page.goto(url);
    await page.waitForTimeout(observeMs); // every page is observed for the same time
    const before = await page.evaluate(timings);
    const { metrics } = await devtools.send("Performance.getMetrics");
    const { NavigationStart, ScriptDuration, TaskDuration } = Object.fromEntries(metrics.map(({ name, value }) => [name, value]));
    const since = async (moment, what) => ((await Promise.race([moment.promise, late(what)])) - NavigationStart) * 1000;
    const live_ms = isLive ? await since(at.stream, "the page opened no stream") : null;
    const swap_ms = isLive ? await page.evaluate(swap, swapMs) : null;
    if (isLive) await page.waitForTimeout(SWAPPED_MS);
    return {
      ...before,
      fcp_ms: await since(at.paint, "the page painted nothing"),
      script_ms: ScriptDuration * 1000,
      busy_ms: TaskDuration * 1000,
      live_ms,
      swap_ms,
      shift: (await page.evaluate(timings)).shift,
      script_bytes: [...scripts.values()].reduce((sum, { bytes }) => sum + bytes, 0),
      scripts: [...scripts.values()].map(({ url }) => url).sort(),
    };
  } finally {
    await context.close();
  }
}

const browser = await launch();
say({ done: browser.version() });
for await (const line of createInterface({ input: process.stdin })) {
  try {
    say({ done: await load(browser, JSON.parse(line)) });
  } catch (problem) {
    say({ failed: problem.stack });
  }
}
await browser.close();
