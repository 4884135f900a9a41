/** A banner as elements. Texts are set as text, links are http(s) or relative; see the HTML contract in the README. */
import type { Banner } from "./types.ts";

/** The address, unless it leads anywhere but to http(s). */
export function safeUrl(url: string | null | undefined): string | false | null | undefined {
  try {
    return url && /^https?:/.test(new URL(url, document.baseURI).href) && url;
  } catch {
    return null;
  }
}

/** The content of a banner; `dismissible`: the label of its close button, or null. */
export function contentOf({ headline, body, linkUrl, ctaLabel, image }: Banner, dismissible: string | null): HTMLElement[] {
  const content: HTMLElement[] = [];
  const add = (name: string, part: string, properties: object): HTMLElement => {
    const element = Object.assign(document.createElement(name), { className: "lb-" + part }, properties);
    content.push(element);
    return element;
  };
  const href = safeUrl(linkUrl);
  const title = add("h2", "headline", { textContent: headline });
  if (body) add("p", "body", { textContent: body });
  if (href) {
    const link = add("a", "link", { href, textContent: ctaLabel || headline });
    if (!ctaLabel) title.replaceChildren(content.pop()!), link;
  }
  const src = safeUrl(image?.url);
  if (src) {
    const { alt, width, height } = image!;
    add("img", "image", { src, alt, ...(width && { width }), ...(height && { height }) });
  }
  if (dismissible != null) add("button", "dismiss", { type: "button", ariaLabel: dismissible, textContent: "×" });
  return content;
}
