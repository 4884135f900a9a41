/** `<live-banner>`: adopts what the server rendered, swaps it when the decision changes, reports that it was seen or clicked. */
import { banners, placementOf } from "./banners.ts";
import type { BannerElement } from "./banners.ts";
import { loadChunk } from "./chunk.ts";
import { complain, PREFIX } from "./options.ts";
import { enqueueEvent } from "./outbox.ts";
import { restart } from "./stream.ts";
import type { Decision } from "./types.ts";

/** Seen: this share of the banner was visible for this long. */
const SEEN_SHARE = 0.5;
const SEEN_MS = 1_000;
const RETRY_MS = 3_000;

/** Ids of decisions that were reported as viewed. */
const seen: Record<string, boolean> = {};

export class LiveBanner extends (globalThis.HTMLElement ?? Object) implements BannerElement {
  declare _isVisible: boolean | undefined;
  declare _timer: ReturnType<typeof setTimeout> | undefined;
  declare _waiting: Decision | undefined;

  constructor() {
    super();
    for (const name of ["pointerleave", "focusout", "click"]) this.addEventListener(name, this);
    this.attachInternals().ariaLive = "polite";
    new IntersectionObserver((entries) => this._see(entries.pop()!.intersectionRatio >= SEEN_SHARE), {
      threshold: SEEN_SHARE,
    }).observe(this);
  }

  connectedCallback(): void {
    if (!placementOf(this)) return complain("needs a placement");
    banners.add(this);
    restart();
  }

  disconnectedCallback(): void {
    banners.delete(this);
    restart();
  }

  handleEvent({ type, target }: Event): void {
    // The pointer or the focus has left, or may have: a decision that waited may be shown.
    setTimeout(() => this._waiting && this._try(this._waiting));
    if (type !== "click") return;
    const part = (target as Element).closest(".lb-dismiss,a");
    if (!part) return;
    this.hidden = part.matches("button");
    report(this, this.hidden ? "dismissed" : "clicked");
  }

  _see(isVisible = this._isVisible): void {
    this._isVisible = isVisible;
    clearTimeout(this._timer);
    const id = this.dataset.decisionId!;
    if (isVisible && !document.hidden && !seen[id])
      this._timer = setTimeout(() => {
        seen[id] = true;
        report(this, "viewed");
      }, SEEN_MS);
  }

  _try(decision: Decision): void {
    this._show(decision).catch(() => setTimeout(() => this.handleEvent({} as Event), RETRY_MS));
  }

  /**
   * Show a decision, unless it is shown already; later while the visitor points at the banner or the focus is within. The latest wins.
   * Rejects if the chunk cannot be loaded.
   */
  async _show(decision: Decision): Promise<void> {
    const { dataset } = this;
    const { id, banner, campaignId, variant } = decision;
    const attributes: Record<string, string | null | undefined> = { bannerId: banner?.id, campaignId, variant };
    const differs = (name: string): boolean => dataset[name] != attributes[name];
    this._waiting = undefined;
    // The same content under a new id: the banner keeps the id under which it was seen.
    if (dataset.decisionId && !Object.keys(attributes).some(differs)) return;
    if (differs("bannerId")) {
      this._waiting = decision;
      // After a tap, :hover matches until the next one: only a device that can hover holds a banner.
      if (this.matches(":focus-within" + (matchMedia("(hover)").matches ? ",:hover" : ""))) return;
      // Loaded at the first swap: what the server rendered mostly stays.
      const { fill } = await loadChunk();
      if (this._waiting !== decision) return;
      this._waiting = undefined;
      if (emit(this, "change", decision)) fill(this, banner);
      this.hidden = false;
    }
    for (const name in attributes)
      if (attributes[name] == null) delete dataset[name];
      else dataset[name] = attributes[name];
    dataset.decisionId = id;
    this._see();
  }
}

/** Dispatch `live-banner:<name>`; false if the page prevented the default. */
const emit = (banner: Element, name: string, detail: unknown): boolean =>
  banner.dispatchEvent(new CustomEvent(PREFIX + name, { bubbles: true, cancelable: true, detail }));

/** Report to the gateway and to the page that a banner was viewed, clicked or dismissed; not while it shows nothing of the gateway. */
const report = (banner: Element & HTMLOrSVGElement, action: string): void => {
  const { decisionId } = banner.dataset;
  if (!decisionId) return;
  enqueueEvent({ type: "BANNER_" + action.toUpperCase(), decisionId });
  emit(banner, action, { placement: placementOf(banner), ...banner.dataset });
};
