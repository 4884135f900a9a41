// The page's script: reports to the snippet what the visitor does, and makes the cart work without reloading.
// The banner needs nothing from this script: <live-banner> keeps itself up to date.

import { track } from "/snippet/live-banner.js";

let actedAtMs = null; // when the visitor last did something that may change the banner (performance.now())

// Cart

async function submitted(event) {
  const form = event.target;
  const { action, product } = form.dataset;
  if (!action) return;
  event.preventDefault();
  actedAtMs = performance.now();
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

// How long a change took, from the visitor's action to the new banner

document.addEventListener("live-banner:change", () => {
  if (actedAtMs === null) return;
  const tookMs = Math.round(performance.now() - actedAtMs);
  actedAtMs = null;
  const meter = document.querySelector("[data-meter]");
  if (meter) meter.textContent = `banner updated in ${tookMs} ms`;
  document.dispatchEvent(new CustomEvent("shop:banner-updated", { detail: { tookMs } }));
});

// Events of the page

function arrived() {
  track("PAGE_VIEWED");
  const viewed = document.querySelector("[data-viewed-product]");
  if (viewed) track("PRODUCT_VIEWED", { product: JSON.parse(viewed.dataset.viewedProduct) });
}

document.addEventListener("submit", submitted);
document.addEventListener("click", ({ target }) => {
  const product = target.closest("[data-clicked-product]");
  if (product) track("PRODUCT_CLICKED", { product: JSON.parse(product.dataset.clickedProduct) });
});
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) arrived(); // back from the back/forward cache
});
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", arrived);
else arrived();
