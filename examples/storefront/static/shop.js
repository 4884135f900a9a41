// The page's script: reports what the visitor does, keeps the banner up to date, and makes the cart work without reloading.

import { showDecision, showDefault, watchSeen } from "./banner.js";
import { Clock } from "./clock.js";
import { renewVisit, request, visitorToken } from "./gateway.js";
import { LiveFeed } from "./live.js";
import { Outbox, reliableStorage } from "./outbox.js";

const DECISION = "id banner { id headline body linkUrl ctaLabel image { url alt width height } }";
const BANNER = `query Banner($placement: ID!, $page: PageInput) { banner(placement: $placement, page: $page) { ${DECISION} } }`;
const BANNER_CHANGED = `subscription BannerChanged($placements: [ID!]!, $page: PageInput, $shown: [ID!]!) {
  bannerChanged(placements: $placements, page: $page, shown: $shown) { ${DECISION} }
}`;
const TRACK = `mutation Track($events: [EventInput!]!, $sentAt: DateTime) {
  track(events: $events, sentAt: $sentAt) { results { messageId status error { code message } } cursor serverTime }
}`;
const CURSOR_SECONDS = 60;

const { endpoint, render, transport, serverTime } = document.body.dataset;
const page = JSON.parse(document.body.dataset.page);
const [navigation] = performance.getEntriesByType("navigation");
const local = reliableStorage(() => localStorage);
const session = reliableStorage(() => sessionStorage);
const clock = new Clock(local, session, Number(serverTime) - (performance.timeOrigin + (navigation?.responseStart ?? 0)));
const outbox = new Outbox({ storage: local, deliver, renew: renewVisit });
const place = document.querySelector("live-banner");
let actedAt = null; // when this page's visitor did something that may change the banner (performance.now())

// Events

function track(type, details = {}) {
  const { title, referrer } = document;
  const where = { ...page, title: title.slice(0, 512) || null, referrer: referrer.slice(0, 2048) || null };
  const timestamp = new Date(clock.stamp()).toISOString();
  outbox.add({ messageId: newId(), type, timestamp, sessionId: sessionId(), page: where, ...details });
}

async function deliver(events) {
  if (!visitorToken()) await renewVisit();
  const sentMs = Date.now();
  const variables = { events, sentAt: new Date(clock.now()).toISOString() };
  const { track: answer } = await request(endpoint, TRACK, variables, { keepalive: true });
  clock.learn(answer.serverTime, sentMs, Date.now());
  // The next page that the server renders waits until the gateway knows these events.
  if (answer.cursor) document.cookie = `visitor_cursor=${answer.cursor}; path=/; max-age=${CURSOR_SECONDS}; samesite=lax`;
  return answer.results;
}

function newId() {
  // crypto.randomUUID is there on https and localhost only.
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function sessionId() {
  const known = session.getItem("shop.session");
  if (known) return known;
  const made = newId();
  session.setItem("shop.session", made);
  return made;
}

// Banner

function startBanner() {
  const restartSeen = watchSeen(place, (decisionId) => track("BANNER_VIEWED", { decisionId }));
  const show = (decision) => {
    if (!decision) return;
    if (showDecision(place, decision)) showMeter();
    restartSeen();
  };
  const payload = () => {
    const shown = place.dataset.decisionId ? [place.dataset.decisionId] : [];
    return { query: BANNER_CHANGED, variables: { placements: [place.getAttribute("placement")], page, shown } };
  };
  const feed = new LiveFeed({ endpoint, transport, payload, onData: (data) => show(data?.bannerChanged) });
  if (render === "server") return null;
  if (render === "client") firstBanner(show).finally(() => feed.open());
  else feed.open();
  return feed;
}

async function firstBanner(show) {
  try {
    if (!visitorToken()) await renewVisit();
    const { banner } = await request(endpoint, BANNER, { placement: place.getAttribute("placement"), page });
    if (banner) show(banner);
    else showDefault(place);
  } catch {
    showDefault(place);
  }
}

function showMeter() {
  if (actedAt === null) return;
  const meter = document.querySelector("[data-meter]");
  if (meter) meter.textContent = `banner updated in ${Math.round(performance.now() - actedAt)} ms`;
  actedAt = null;
}

// Cart

async function submitted(event) {
  const form = event.target;
  const { action, product } = form.dataset;
  if (!action) return;
  event.preventDefault();
  actedAt = performance.now();
  if (action === "add") track("PRODUCT_ADDED", { product: { ...JSON.parse(product), quantity: 1 } });
  if (action === "remove") track("PRODUCT_REMOVED", { product: JSON.parse(product) });
  try {
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch(form.action, { method: "POST", body, headers: { accept: "application/json" } });
    if (!response.ok) throw new Error(`status ${response.status}`);
    cartChanged(form, await response.json());
  } catch (error) {
    console.warn("The cart could not be changed:", error);
    form.querySelector("button").textContent = "Try again";
  }
}

function cartChanged(form, { count, order }) {
  document.querySelector("[data-cart-count]").textContent = count;
  const { action } = form.dataset;
  if (action === "add") form.querySelector("button").textContent = "Added";
  if (action === "remove") location.reload();
  if (action === "order") {
    if (order) track("ORDER_COMPLETED", { order });
    const thanks = document.createElement("h1");
    thanks.textContent = "Thank you for your order";
    document.querySelector("main").replaceChildren(thanks);
  }
}

// Start

function arrived() {
  track("PAGE_VIEWED");
  const viewed = document.querySelector("[data-viewed-product]");
  if (viewed) track("PRODUCT_VIEWED", { product: JSON.parse(viewed.dataset.viewedProduct) });
}

document.addEventListener("submit", submitted);
document.addEventListener("click", ({ target }) => {
  const product = target.closest("[data-clicked-product]");
  if (product) track("PRODUCT_CLICKED", { product: JSON.parse(product.dataset.clickedProduct) });
  const decisionId = target.closest("[data-cta]") && place?.dataset.decisionId;
  if (decisionId) track("BANNER_CLICKED", { decisionId });
});

const feed = place && startBanner();
arrived();
addEventListener("pagehide", () => {
  feed?.close();
  outbox.sendNow();
});
addEventListener("pageshow", ({ persisted }) => {
  if (!persisted) return; // only a page that comes back as it was left
  feed?.open();
  arrived();
});
