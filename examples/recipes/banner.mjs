/** Banners as HTML that the snippet adopts without touching it: the contract of frontend_snippet/README.md. */

/** `<live-banner>` with the decision's banner, or without one with the page's own content (HTML by the page's author). */
export function renderBanner(decision, { placement, ownHtml = "", dismissible }) {
  const { id, campaignId, variant, banner } = decision ?? {};
  const data = { "data-decision-id": id, "data-banner-id": banner?.id, "data-campaign-id": campaignId, "data-variant": variant };
  const inside = banner ? content(banner) + closeButton(dismissible) + (ownHtml && element("template", {}, ownHtml)) : ownHtml;
  return element("live-banner", { placement, "aria-live": "polite", ...data, dismissible }, inside);
}

/** The `<meta>` that configures the snippet. `endpoint`: the gateway's address for browsers. */
export function renderConfiguration({ endpoint = "/graphql", publishableKey, page }) {
  const data = { "data-key": publishableKey, "data-page": page && JSON.stringify(page) };
  return `<meta${attributes({ name: "live-banner", content: endpoint, ...data })}>`;
}

function content({ headline, body, linkUrl, ctaLabel, image }) {
  const href = safeLink(linkUrl);
  const link = (label) => element("a", { class: "lb-link", href }, escape(label));
  const { url, alt, width, height } = image ?? {};
  const src = safeLink(url);
  return [
    element("h2", { class: "lb-headline" }, href && !ctaLabel ? link(headline) : escape(headline)),
    body ? element("p", { class: "lb-body" }, escape(body)) : "",
    href && ctaLabel ? link(ctaLabel) : "",
    src ? `<img${attributes({ class: "lb-image", src, alt, width, height })}>` : "",
  ].join("");
}

const closeButton = (label) => (label == null ? "" : element("button", { class: "lb-dismiss", type: "button", "aria-label": label }, "×"));
const element = (name, own, html) => `<${name}${attributes(own)}>${html}</${name}>`;
const attributes = (all) => Object.entries(all).map(([name, value]) => (value == null ? "" : ` ${name}="${escape(value)}"`)).join("");
const ENTITIES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#x27;" };
const escape = (value) => String(value).replace(/[&<>"']/g, (character) => ENTITIES[character]);

/** http(s) with a host, or relative: a path, a query, a fragment, a first segment without a colon. `//host` is another site. */
const SAFE_LINK = /^(?:https?:\/\/[^\s\\/?#]|\/(?![/\\])|[?#]|[\p{L}\p{N}_.-]+(?:[/?#]|$))[^\s\\\x00-\x1f\x7f]*$/iu;
const safeLink = (url) => (url && SAFE_LINK.test(url) ? url : undefined);
