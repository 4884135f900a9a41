/** A banner as elements. Texts are set as text, links are http(s) or relative; see the HTML contract in the README. */
import type { Banner } from "../types.ts";

/** The address, unless it leads anywhere but to http(s). */
export const safeUrl = (url: string | null | undefined): string | false | null | undefined => {
  try {
    return url && /^https?:/.test(new URL(url, document.baseURI).href) && url;
  } catch {}
  return;
};

/** The content of a banner; `dismissible`: the label of its close button, or null. */
export const contentOf = ({ headline, body, linkUrl, ctaLabel, image }: Banner, dismissible: string | null): HTMLElement[] => {
  const content: HTMLElement[] = [];
  const add = (name: string, part: string, ...properties: unknown[]): number =>
    content.push(Object.assign(document.createElement(name), { className: "lb-" + part }, ...properties));
  const href = safeUrl(linkUrl);
  add("h2", "headline", { textContent: headline });
  if (body) add("p", "body", { textContent: body });
  if (href) {
    add("a", "link", { href, textContent: ctaLabel || headline });
    if (!ctaLabel) content[0]!.replaceChildren(content.pop()!);
  }
  const src = safeUrl(image?.url);
  if (src) {
    const { alt, width, height } = image!;
    add("img", "image", { src, alt }, width && { width }, height && { height });
  }
  if (dismissible != null) add("button", "dismiss", { type: "button", ariaLabel: dismissible, textContent: "×" });
  return content;
};

/** Swap the content; `null` brings the page's own back, which a template keeps meanwhile. */
export const fill = (place: HTMLElement, banner: Banner | null): void => {
  let own = place.querySelector<HTMLTemplateElement>(":scope>template");
  if (!own && !place.dataset.bannerId) {
    own = document.createElement("template");
    own.content.append(...place.childNodes);
  }
  place.replaceChildren(...(banner ? contentOf(banner, place.getAttribute("dismissible")) : [own?.content.cloneNode(true) || ""]), own || "");
};
