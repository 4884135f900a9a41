/**
 * A small shop: pages with a banner rendered by the HTML contract, under a strict policy, and the real gateway under a path
 * of its own origin. What goes through that path is counted, and can be cut, held back or falsified.
 */
import { createReadStream, existsSync } from "node:fs";
import { createServer, request } from "node:http";
import { fileURLToPath } from "node:url";

const DIST = fileURLToPath(new URL("../../frontend_snippet/dist/", import.meta.url));
const TYPES = { js: "text/javascript", css: "text/css", map: "application/json", graphql: "text/plain" };
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; " +
  "require-trusted-types-for 'script'; trusted-types 'none'; report-uri /violation";
const PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="48" height="32"/>';
const ASK = `query($placements: [ID!]!, $page: PageInput, $after: Cursor) { banners(placements: $placements, page: $page, after: $after, maxWaitMs: 1000) {
  id placement campaignId variant banner { id headline body linkUrl ctaLabel image { url alt width height } } } }`;

export class Shop {
  /** `gateway`: its address; `publishable`: a publishable key. */
  constructor({ gateway, publishable }) {
    this.gateway = new URL("/graphql", gateway);
    this.key = publishable;
    this.requests = []; // of the browser: {operation, variables, at}
    this.violations = [];
    this.streams = new Set(); // open event streams and WebSockets of the browser
    this.fault = null; // ({operation, variables, query}, response, request) => true if it was answered
    this.rest = null; // promise: until then pages end in the middle of their first banner
    this.server = createServer((incoming, response) => this.#serve(incoming, response).catch((problem) => response.destroy(problem)));
    this.server.on("upgrade", (incoming, socket, head) => this.#upgrade(incoming, socket, head));
    this.server.keepAliveTimeout = 75_000; // Node's 5 s would close a connection while the browser sends its next request
  }

  async open() {
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  async close() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** All events that the browser sent, in order of arrival. */
  get events() {
    return this.requests.filter(({ operation }) => operation === "Track").flatMap(({ variables }) => variables.events);
  }

  count(operation) {
    return this.requests.filter((request) => request.operation === operation).length;
  }

  /** Break every open stream, as a network does. */
  cut() {
    for (const socket of this.streams) socket.destroy();
  }

  async gql(credential, query, variables = {}) {
    const headers = { "content-type": "application/json", authorization: `Bearer ${credential}` };
    const answer = await fetch(this.gateway, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
    const { data, errors } = await answer.json();
    if (errors) throw new Error(JSON.stringify(errors));
    return Object.values(data)[0];
  }

  async #serve(incoming, response) {
    const url = new URL(incoming.url, this.url);
    if (url.pathname === "/graphql") return this.#forward(incoming, response);
    if (url.pathname === "/violation") {
      this.violations.push((await text(incoming)).slice(0, 500));
      return response.writeHead(204).end();
    }
    const file = DIST + url.pathname.slice(1);
    const type = TYPES[url.pathname.split(".").pop()];
    if (type && existsSync(file)) {
      response.writeHead(200, { "content-type": type, "cache-control": "max-age=60" });
      return createReadStream(file).pipe(response);
    }
    if (/\.(svg|png|webp)$/.test(url.pathname)) return response.writeHead(200, { "content-type": "image/svg+xml" }).end(PICTURE);
    if (url.pathname.includes(".")) return response.writeHead(url.pathname === "/favicon.ico" ? 204 : 404).end();
    const html = await this.#page(url, cookies(incoming));
    response.writeHead(200, { "content-type": "text/html; charset=utf-8", "content-security-policy": POLICY, "cache-control": "private, no-store" });
    const middle = html.indexOf("</h2>");
    if (this.rest) response.write(html.slice(0, middle)), await this.rest;
    response.end(this.rest ? html.slice(middle) : html);
  }

  /** `ssr=0`: own content only; `tags`: number of banners; other parameters become attributes of the configuration tag. */
  async #page(url, jar) {
    const { ssr = "1", tags = "1", attributes = "", placement = "homepage-hero", script = "module", ...options } = Object.fromEntries(url.searchParams);
    delete options.gw_debug;
    const token = jar.visitor_token;
    let decision = null;
    if (ssr === "1") {
      const variables = { placements: [placement], page: { url: url.href }, after: token ? (jar.visitor_cursor ?? null) : null };
      [decision] = await this.gql(token || this.key, ASK, variables).catch(() => [null]);
    }
    const meta = Object.entries({ key: this.key, ...options }).map(([name, value]) => ` data-${name}="${escape(value)}"`);
    const tag = { module: `type="module" src="/live-banner.js"`, async: `type="module" async src="/live-banner.js"`, classic: `src="/live-banner.classic.js"`, none: "" }[script];
    return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title>
<meta name="live-banner" content="/graphql"${meta.join("")}>
<link rel="stylesheet" href="/live-banner.css"><script ${tag}></script></head>
<body><h1>Shop</h1>${banner(placement, decision, attributes).repeat(Number(tags))}<p id="below">Below</p></body></html>`;
  }

  async #forward(incoming, response) {
    const body = await text(incoming);
    const { operationName: operation, variables, query } = JSON.parse(body);
    this.requests.push({ operation, variables, at: Date.now(), credential: incoming.headers.authorization });
    if (this.fault && (await this.fault({ operation, variables, query }, response, incoming))) return;
    const { origin: _, host: __, connection: ___, ...headers } = incoming.headers;
    const onward = request(this.gateway, { method: "POST", headers });
    onward.on("error", () => response.destroy());
    onward.on("response", (answer) => {
      // The browser gave up before the gateway answered: `close` is over, so a stream would be counted for ever.
      if (response.closed) return answer.destroy();
      response.writeHead(answer.statusCode, answer.headers);
      response.flushHeaders();
      if (/event-stream/.test(answer.headers["content-type"])) {
        this.streams.add(incoming.socket);
        response.on("close", () => (this.streams.delete(incoming.socket), onward.destroy()));
      }
      answer.on("error", () => response.destroy());
      answer.pipe(response);
    });
    onward.end(body);
  }

  #upgrade(incoming, socket, head) {
    const { origin: _, host: __, ...headers } = incoming.headers;
    const onward = request(this.gateway, { headers });
    onward.on("error", () => socket.destroy());
    onward.on("upgrade", (answer, upstream, first) => {
      const lines = Object.entries(answer.headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join("")}\r\n`);
      socket.write(first);
      upstream.write(head);
      this.streams.add(socket);
      for (const [from, to] of [[socket, upstream], [upstream, socket]]) {
        from.pipe(to);
        from.on("error", () => to.destroy());
        from.on("close", () => (this.streams.delete(socket), to.destroy()));
      }
    });
    onward.end();
  }
}

const text = async (stream) => {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts).toString();
};

const cookies = ({ headers }) => Object.fromEntries((headers.cookie ?? "").split("; ").map((pair) => pair.split(/=(.*)/s).slice(0, 2)));

const escape = (value) => String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** The HTML contract of the snippet's README. */
export function banner(placement, decision, attributes = "") {
  const names = { "decision-id": decision?.id, "banner-id": decision?.banner?.id, "campaign-id": decision?.campaignId, variant: decision?.variant };
  const data = Object.entries(names).map(([name, value]) => (value == null ? "" : ` data-${name}="${escape(value)}"`));
  const own = "<h2>Welcome to the shop</h2><p>Own content.</p>";
  const shown = decision?.banner;
  const inner = shown ? content(shown) + `<template>${own}</template>` : own;
  return `<live-banner placement="${escape(placement)}" aria-live="polite"${data.join("")} ${attributes}>${inner}</live-banner>`;
}

function content({ headline, body, linkUrl, ctaLabel, image }) {
  const link = (label) => `<a class="lb-link" href="${escape(linkUrl)}">${escape(label)}</a>`;
  const size = image ? [image.width && ` width="${image.width}"`, image.height && ` height="${image.height}"`].filter(Boolean).join("") : "";
  return [
    `<h2 class="lb-headline">${linkUrl && !ctaLabel ? link(headline) : escape(headline)}</h2>`,
    body ? `<p class="lb-body">${escape(body)}</p>` : "",
    linkUrl && ctaLabel ? link(ctaLabel) : "",
    image ? `<img class="lb-image" src="${escape(image.url)}" alt="${escape(image.alt)}"${size}>` : "",
  ].join("");
}
