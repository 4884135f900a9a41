/**
 * A real Chromium and a small shop in front of the real gateway, driven by lines of JSON: {"run": "scenario", …} in,
 * {"done": result}, {"failed": text} or {"ask": "what the other side has to do"} out.
 */
import assert from "node:assert/strict";
import { createInterface } from "node:readline";

import { launch } from "./chromium.mjs";
import * as scenarios from "./scenarios/index.mjs";
import { Shop } from "./shop.mjs";

const settings = JSON.parse(process.argv[2]);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (message) => process.stdout.write(JSON.stringify(message) + "\n");
const ask = async (what) => (say({ ask: what }), (await lines.next()).value);

const browser = await launch();
say({ done: browser.version() });

for (;;) {
  const { value, done } = await lines.next();
  if (done) break;
  const { run, ...parameters } = JSON.parse(value);
  const shop = new Shop(settings);
  const started = Date.now();
  try {
    assert.ok(scenarios[run], `there is no scenario ${run}`);
    await shop.open();
    const result = await scenarios[run]({ browser, shop, ask, ...settings, ...parameters });
    say({ done: result ?? null, ms: Date.now() - started });
  } catch (problem) {
    const requests = shop.requests.slice(-12).map(({ operation, variables }) => `${operation} ${JSON.stringify(variables)}`.slice(0, 300));
    const messages = browser.contexts().flatMap((context) => context.pages().flatMap((page) => page.messages ?? []));
    say({ failed: [problem.stack, ...requests, ...messages, ...shop.violations].join("\n") });
  } finally {
    await Promise.all(browser.contexts().map((context) => context.close()));
    await shop.close();
  }
}
await browser.close();
