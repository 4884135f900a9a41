/**
 * GraphiQL in a real Chromium: node graphiql.mjs ADDRESS PUBLISHABLE_KEY. Prints each behaviour that is as expected; fails at
 * the first that is not. At "shut down" it says so and waits for the gateway to close its streams.
 */
import assert from "node:assert/strict";

import { launch } from "./chromium.mjs";
import { until, visit } from "./tools.mjs";

const [address, key] = process.argv.slice(2);
const { origin, pathname } = new URL(address);
const browser = await launch();
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
const requests = [];
context.on("request", (request) => requests.push(request));
await context.addInitScript(() => addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`)));
const page = await visit(context, { url: origin }, pathname);

const answer = () => page.locator(".result-window .CodeMirror").evaluate((one) => one.CodeMirror.getValue());
const answered = (wanted) => until(async () => wanted.test(await answer()), () => `no answer like ${wanted}`);
const running = () => page.getByRole("button", { name: "Stop query" }).isVisible();
const bearer = (credential) => JSON.stringify({ authorization: `Bearer ${credential}` });

async function write(name, text) {
  await page.locator(`section[aria-label="${name}"] .CodeMirror:visible`).click();
  await page.keyboard.press("Control+A");
  await page.keyboard.insertText(text);
}

/** Choose an operation with the play button; without a name it runs the only one, or stops the running one. */
async function play(operation) {
  await page.click(".graphiql-execute-button");
  if (operation) await page.getByRole("menuitem", { name: operation, exact: true }).click();
}

const held = {
  async "the page knows the schema"() {
    await page.getByRole("button", { name: "Show Documentation Explorer" }).click();
    await page.getByRole("link", { name: "Subscription" }).click();
    await page.getByRole("link", { name: "bannerChanged" }).waitFor();
  },
  async "who forgot the key is told what to send"() {
    await play("Banner");
    await answered(/UNAUTHENTICATED/);
    assert.match(await answer(), /Authorization: Bearer/);
  },
  async "a query is answered"() {
    await write("Headers", bearer(key));
    await play("Banner");
    await answered(/"headline": "[^"]+"/);
  },
  async "a subscription by a visitor token shows its first decision, and can be stopped"() {
    await play("StartVisit");
    await answered(/"token"/);
    const { token } = JSON.parse(await answer()).data.startVisit;
    await write("Headers", bearer(token));
    await play("BannerChanged");
    await answered(/"bannerChanged"[^]*"headline": "[^"]+"/);
    const stream = requests.at(-1);
    assert.equal(stream.headers().accept, "text/event-stream");
    assert.equal(stream.headers().authorization, `Bearer ${token}`);
    assert.ok(await running(), "the stream is open");
    await play();
    await until(() => stream.failure(), "the stream was not closed");
    await until(async () => !(await running()), "it still runs");
  },
  async "the error that ends a stream is shown"() {
    await write("Headers", bearer("forged"));
    await play("BannerChanged");
    await answered(/UNAUTHENTICATED/);
    await until(async () => !(await running()), "it still runs");
  },
  async "a typed query is answered, the settings open"() {
    await page.getByRole("button", { name: "Open settings dialog" }).click();
    await page.getByRole("button", { name: "Close dialog" }).click();
    await write("Query Editor", "{ typed: __typename }");
    await write("Headers", "{}");
    // Until GraphiQL has read the new document, it would run an operation of the old one; with a single operation there is no menu.
    await page.locator(".graphiql-execute-button:not([aria-haspopup])").waitFor();
    await page.keyboard.press("Control+Enter");
    await answered(/"typed": "Query"/);
  },
  async "shut down"() {
    await write("Query Editor", 'subscription { bannerChanged(placements: ["homepage-hero"]) { id } }');
    await write("Headers", bearer(key));
    await page.keyboard.press("Control+Enter");
    await answered(/"bannerChanged"/);
  },
  async "a stream that breaks off says so"() {
    await answered(/ended the stream/);
  },
};

try {
  for (const [what, holds] of Object.entries(held)) {
    await holds();
    console.log(what);
  }
  assert.deepEqual(requests.map((one) => new URL(one.url())).filter((url) => !/^(data|blob):$/.test(url.protocol) && url.origin !== origin).map(String), []);
  assert.deepEqual(page.messages.filter((text) => /^(error|thrown|warning)/.test(text)), []);
  console.log("nothing left the origin, nothing broke the policy");
} catch (problem) {
  console.log([problem.stack, await answer().catch(String), ...page.messages].join("\n"));
  process.exitCode = 1;
} finally {
  await browser.close();
}
