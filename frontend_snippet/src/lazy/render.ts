/** A banner as elements. Strings are set as text, links are http(s) or relative; see the HTML contract in the README. */
import type { Banner } from "../types.ts";

/** The address, unless it leads anywhere but to http(s). */
const safeUrl = (url: string | null | undefined): string | false | null | undefined => {
  try {
    return url && /^https?:/.test(new URL(url, document.baseURI).href) && url;
  } catch {}
  return;
};

/** An element of class `lb-<part>`. Falsy `properties` are left out. */
export const element = (name: string, part: string, textContent: string, ...properties: unknown[]): HTMLElement =>
  Object.assign(document.createElement(name), { className: "lb-" + part, textContent }, ...properties);

/** The content of a banner; `dismissible`: the label of its close button, or null. */
const contentOf = ({ headline, body, linkUrl, ctaLabel, image }: Banner, dismissible: string | null): HTMLElement[] => {
  const href = safeUrl(linkUrl);
  const src = safeUrl(image?.url);
  const heading = element("h2", "headline", headline);
  const link = href && element("a", "link", ctaLabel || headline, { href });
  if (link && !ctaLabel) heading.replaceChildren(link);
  return [
    heading,
    body && element("p", "body", body),
    ctaLabel && link,
    src &&
      element(
        "img",
        "image",
        "",
        { src, alt: image!.alt },
        image!.width && { width: image!.width },
        image!.height && { height: image!.height },
      ),
    dismissible != null && element("button", "dismiss", "×", { type: "button", ariaLabel: dismissible }),
  ].filter((part) => part) as HTMLElement[];
};

/** Swap the content; `null` brings back the page's own, which a template keeps meanwhile. */
export const fill = (place: HTMLElement, banner: Banner | null): void => {
  let own = place.querySelector<HTMLTemplateElement>(":scope>template");
  if (!own && !place.dataset.bannerId) {
    own = document.createElement("template");
    own.content.append(...place.childNodes);
  }
  place.replaceChildren(
    ...(banner ? contentOf(banner, place.getAttribute("dismissible")) : [own?.content.cloneNode(true) || ""]),
    own || "",
  );
};
