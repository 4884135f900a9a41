/** `<live-banner>`: adopts what the server rendered, swaps it when the decision changes, reports what becomes of it. */
import { complain } from "./options.ts";
import { enqueueEvent } from "./outbox.ts";
import { contentOf } from "./render.ts";
import { restart } from "./stream.ts";
import type { Decision } from "./types.ts";

const SEEN_SHARE = 0.5;
const SEEN_MS = 1_000;

const banners = new Set<LiveBanner>();
const seen = new Set<string>();
let observer: IntersectionObserver | undefined;

/** What distinguishes two decisions for the visitor; null and undefined are the same. */
const meaning = (of: { bannerId?: string | undefined; campaignId?: string | null | undefined; variant?: string | null | undefined }): string => [of.bannerId, of.campaignId, of.variant] + "";

export class LiveBanner extends (globalThis.HTMLElement ?? Object) {
  _isVisible = false;
  _timer: ReturnType<typeof setTimeout> | undefined;
  _waiting: Decision | undefined;

  constructor() {
    super();
    for (const name of ["pointerleave", "focusout", "click"]) this.addEventListener(name, this);
    this.attachInternals().ariaLive = "polite";
  }

  connectedCallback(): void {
    if (!placementOf(this)) return complain("<live-banner> needs a placement", "the-html-contract");
    banners.add(this);
    observer ??= new IntersectionObserver((entries) => entries.forEach(({ target, intersectionRatio }) => (target as LiveBanner)._see(intersectionRatio >= SEEN_SHARE)), { threshold: SEEN_SHARE });
    observer.observe(this);
    restart();
  }

  disconnectedCallback(): void {
    banners.delete(this);
    observer?.unobserve(this);
    this._see(false);
    restart();
  }

  handleEvent({ type, target }: Event): void {
    // The pointer or the focus has left, or may have: what waited may come.
    setTimeout(() => this._waiting && this._show(this._waiting));
    if (type !== "click") return;
    const part = (target as Element).closest(".lb-dismiss,a");
    if (part) report(this, (this.hidden = part.matches("button")) ? "dismissed" : "clicked");
  }

  /** It is half visible, or no more: after a second it was seen. */
  _see(isVisible = this._isVisible): void {
    this._isVisible = isVisible;
    clearTimeout(this._timer);
    const id = this.dataset.decisionId!;
    if (isVisible && !document.hidden && !seen.has(id))
      this._timer = setTimeout(() => {
        seen.add(id);
        report(this, "viewed");
      }, SEEN_MS);
  }

  /** Show a decision, unless it is shown; later while the visitor points at the banner or is in it. */
  _show(decision: Decision): void {
    const { dataset } = this;
    const { id, banner, campaignId, variant } = decision;
    const attributes: Record<string, string | null | undefined> = { decisionId: id, bannerId: banner?.id, campaignId, variant };
    this._waiting = undefined;
    // The same decision, told again: it keeps the id by which it was seen.
    if (dataset.decisionId && meaning(dataset) === meaning(attributes)) return;
    if (dataset.bannerId !== banner?.id) {
      if (this.matches(":focus-within") || (this.matches(":hover") && matchMedia("(hover)").matches)) {
        this._waiting = decision;
        return;
      }
      if (emit(this, "change", decision)) this._fill(decision);
    }
    for (const name in attributes)
      if (attributes[name] == null) delete dataset[name];
      else dataset[name] = attributes[name];
    this._see();
  }

  _fill({ banner }: Decision): void {
    let own = this.querySelector("template");
    if (!own && !this.dataset.bannerId) {
      own = document.createElement("template");
      own.content.append(...this.childNodes);
    }
    this.replaceChildren(...(banner ? contentOf(banner, this.getAttribute("dismissible")) : [own?.content.cloneNode(true) || ""]), own || "");
    this.hidden = false;
  }
}

const placementOf = (banner: Element): string => banner.getAttribute("placement")!;
const emit = (on: Element, name: string, detail: unknown): boolean => on.dispatchEvent(new CustomEvent("live-banner:" + name, { bubbles: true, cancelable: true, detail }));

function report(on: LiveBanner, what: string): void {
  const { decisionId, campaignId, variant } = on.dataset;
  if (!decisionId) return;
  enqueueEvent({ type: "BANNER_" + what.toUpperCase(), decisionId });
  emit(on, what, { placement: placementOf(on), decisionId, campaignId, variant });
}

/** The placements of this page, each once. */
export const placements = (): string[] => [...new Set([...banners].map(placementOf))];
/** The ids of the decisions that are shown. */
export const shownIds = (): string[] => [...banners].flatMap((banner) => banner.dataset.decisionId ?? []);
/** Show a decision wherever it belongs. */
export const show = (decision: Decision): void => banners.forEach((banner) => placementOf(banner) === decision.placement && banner._show(decision));
/** Whether the page is looked at has changed. */
export const lookAgain = (): void => banners.forEach((banner) => banner._see());
/** The visitor has changed: what is shown was decided for someone else. */
export const disown = (): void => banners.forEach((banner) => delete banner.dataset.decisionId);
