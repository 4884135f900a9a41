// The banner's place: what it shows, when it was seen. Content is made of text nodes only, never of HTML.

const SEEN_SHARE = 0.5;
const SEEN_MS = 1_000;

/** Absolute http(s) or relative, like the shop's server allows; anything else (`javascript:`, another host by `//`) is null. */
export function safeLink(url) {
  const safe = /^(?:https?:\/\/[^\s\\/?#]|\/(?![/\\])|[?#]|[\w.-]+(?:[/?#]|$))[^\s\\]*$/i;
  return url && safe.test(url) ? url : null;
}

/** A path of the shop keeps the visitor's choices; other links stay as they are. */
export function withChoices(url, search) {
  if (!url.startsWith("/")) return url;
  const target = new URL(url, "http://shop.invalid");
  for (const name of ["render", "transport"]) {
    const value = new URLSearchParams(search).get(name);
    if (value) target.searchParams.set(name, value);
  }
  return target.pathname + target.search + target.hash;
}

/** Show a decision. Equal content is left untouched. Returns whether the content changed. */
export function showDecision(place, decision) {
  const { banner } = decision;
  const isEmpty = place.querySelector(".hero-text") === null;
  const isSame = !isEmpty && (place.dataset.bannerId ?? "") === (banner?.id ?? "");
  place.dataset.decisionId = decision.id;
  if (isSame) return false;
  if (banner) {
    place.dataset.bannerId = banner.id;
    fill(place, contentOf(banner));
  } else {
    showDefault(place);
  }
  return true;
}

/** Show the shop's own content. */
export function showDefault(place) {
  delete place.dataset.bannerId;
  fill(place, [place.querySelector("template").content.cloneNode(true)]);
}

function fill(place, nodes) {
  place.replaceChildren(...nodes, place.querySelector("template"));
}

function contentOf(banner) {
  const text = node("div", { className: "hero-text" });
  text.append(node("h2", { textContent: banner.headline }));
  if (banner.body) text.append(node("p", { textContent: banner.body }));
  const link = safeLink(banner.linkUrl);
  if (link) {
    const label = banner.ctaLabel ?? "Have a look";
    const anchor = node("a", { className: "button", href: withChoices(link, location.search), textContent: label });
    anchor.dataset.cta = "";
    text.append(anchor);
  }
  const source = safeLink(banner.image?.url);
  if (!source) return [text];
  const image = node("img", { src: source, alt: banner.image.alt });
  if (banner.image.width) image.width = banner.image.width;
  if (banner.image.height) image.height = banner.image.height;
  return [text, image];
}

function node(name, properties) {
  return Object.assign(document.createElement(name), properties);
}

/** Call `onSeen(decisionId)` once for each decision that was half visible for a second. Call the result after a change. */
export function watchSeen(place, onSeen) {
  const seen = new Set();
  let visible = false;
  let timer = null;
  const restart = () => {
    clearTimeout(timer);
    const id = place.dataset.decisionId;
    if (!id || seen.has(id) || !visible || document.visibilityState !== "visible") return;
    timer = setTimeout(() => (seen.add(id), onSeen(id)), SEEN_MS);
  };
  new IntersectionObserver(([entry]) => ((visible = entry.intersectionRatio >= SEEN_SHARE), restart()), {
    threshold: SEEN_SHARE,
  }).observe(place);
  document.addEventListener("visibilitychange", restart);
  return restart;
}
