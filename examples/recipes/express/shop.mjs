/** An Express shop whose pages have the visitor's banner in their HTML; the caller decides how a page looks. */
import { fileURLToPath } from "node:url";

import express from "express";

import { renderBanner, renderConfiguration } from "../banner.mjs";
import { cookiesOf, CURSOR_COOKIE, Gateway, TOKEN_COOKIE, tokenCookie } from "../gateway.mjs";
import { proxy } from "../proxy.mjs";

const { GATEWAY_URL, PUBLISHABLE_KEY, BANNER_DEADLINE_MS = "150", PORT = "3000" } = process.env;
const SNIPPET = fileURLToPath(new URL("../../../frontend_snippet/dist", import.meta.url));

/** A shop of one page. `render` returns its HTML; it gets the banner, and what belongs in the head. */
export function createShop(render) {
  const gateway = new Gateway(GATEWAY_URL, PUBLISHABLE_KEY, { deadlineMs: Number(BANNER_DEADLINE_MS) });
  const app = express();
  app.all("/graphql", proxy(GATEWAY_URL));
  app.use("/static", express.static(SNIPPET));
  app.get("/", async (request, response) => {
    const { [TOKEN_COOKIE]: token, [CURSOR_COOKIE]: after } = cookiesOf(request.headers.cookie);
    const page = { type: "home", url: `${request.protocol}://${request.host}${request.originalUrl}` };
    const { started, decisions } = await gateway.personalize(["homepage-hero"], { token, after, page });
    const banner = renderBanner(decisions["homepage-hero"], { placement: "homepage-hero", ownHtml: "<h2>Welcome</h2>" });
    const head = `${renderConfiguration({ publishableKey: PUBLISHABLE_KEY, page: { type: "home" } })}
  <link rel="stylesheet" href="/static/live-banner.css">
  <script type="module" async fetchpriority="low" src="/static/live-banner.js"></script>`;
    if (started) response.append("set-cookie", tokenCookie(started.token, request.secure));
    response.set("cache-control", "private, no-store").send(await render({ head, banner }));
  });
  return app;
}

/** Listen on PORT of this machine; 0 means any free port. */
export function listen(app) {
  const server = app.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
}
