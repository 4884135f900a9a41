/** `<live-banner>`: adopts what the server rendered, swaps it when the decision changes, reports what becomes of it. */
import { banners, placementOf } from "./banners.ts";
import type { BannerElement } from "./banners.ts";
import { loadChunk } from "./chunk.ts";
import { complain, PREFIX } from "./options.ts";
import { enqueueEvent } from "./outbox.ts";
import { restart } from "./stream.ts";
import type { Decision } from "./types.ts";

const SEEN_SHARE = 0.5;
const SEEN_MS = 1_000;
const RETRY_MS = 3_000;

const seen: Record<string, boolean> = {};

export class LiveBanner extends (globalThis.HTMLElement ?? Object) implements BannerElement {
  declare _isVisible: boolean | undefined;
  declare _timer: ReturnType<typeof setTimeout> | undefined;
  declare _waiting: Decision | undefined;

  constructor() {
    super();
    for (const name of ["pointerleave", "focusout", "click"]) this.addEventListener(name, this);
    this.attachInternals().ariaLive = "polite";
    new IntersectionObserver((entries) => this._see(entries.pop()!.intersectionRatio >= SEEN_SHARE), { threshold: SEEN_SHARE }).observe(this);
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
    // The pointer or the focus has left, or may have: what waited may come.
    setTimeout(() => this._waiting && this._try(this._waiting));
    if (type !== "click") return;
    const part = (target as Element).closest(".lb-dismiss,a");
    if (!part) return;
    this.hidden = part.matches("button");
    report(this, this.hidden ? "dismissed" : "clicked");
  }

  /** It is half visible, or no more: after a second it was seen. */
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

  /** Show a decision; again after a while where the chunk could not be had. */
  _try(decision: Decision): void {
    this._show(decision).catch(() => setTimeout(() => this.handleEvent({} as Event), RETRY_MS));
  }

  /** Show a decision, unless it is shown; later while the visitor points at the banner or is in it. The latest wins. */
  async _show(decision: Decision): Promise<void> {
    const { dataset } = this;
    const { id, banner, campaignId, variant } = decision;
    const attributes: Record<string, string | null | undefined> = { bannerId: banner?.id, campaignId, variant };
    const differs = (name: string): boolean => dataset[name] != attributes[name];
    this._waiting = undefined;
    // The same decision, told again: it keeps the id by which it was seen.
    if (dataset.decisionId && !Object.keys(attributes).some(differs)) return;
    if (differs("bannerId")) {
      this._waiting = decision;
      // After a tap a banner counts as pointed at until the next one: only a true pointer holds it.
      if (this.matches(":focus-within" + (matchMedia("(hover)").matches ? ",:hover" : ""))) return;
      // Loaded at the first swap: what was rendered by the server mostly stays.
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

const emit = (on: Element, name: string, detail: unknown): boolean => on.dispatchEvent(new CustomEvent(PREFIX + name, { bubbles: true, cancelable: true, detail }));

const report = (on: LiveBanner, what: string): void => {
  const { decisionId } = on.dataset;
  if (!decisionId) return;
  enqueueEvent({ type: "BANNER_" + what.toUpperCase(), decisionId });
  emit(on, what, { placement: placementOf(on), ...on.dataset });
};
