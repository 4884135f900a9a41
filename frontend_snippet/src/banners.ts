/** The banners of this page: their placements, what they show, and the way to all of them. */
import type { Decision } from "./types.ts";

/** A `<live-banner>` that is in the page. */
export interface BannerElement extends HTMLElement {
  /** Show a decision; again after a while if the chunk cannot be loaded. */
  _try(decision: Decision): void;
  /** It became visible, or is no longer; without an argument: whether the page is looked at may have changed. */
  _see(isVisible?: boolean): void;
}

export const banners = new Set<BannerElement>();

export const placementOf = (banner: Element): string => banner.getAttribute("placement")!;

/** The placements of this page. */
export const placements = (): string[] => [...banners].map(placementOf);

/** The ids of the decisions that are shown; none while a banner is empty: another banner of its placement may show one already. */
export const shownIds = (): unknown[] => {
  const ids = [...banners].map((banner) => banner.dataset.decisionId);
  return ids.every(Boolean) ? ids : [];
};

/** Show a decision in every banner of its placement. */
export const show = (decision: Decision): void =>
  banners.forEach((banner) => placementOf(banner) === decision.placement && banner._try(decision));

/** Whether the page is looked at has changed. */
export const updateVisibility = (): void => banners.forEach((banner) => banner._see());

/** The visitor has changed: what is shown was decided for someone else. */
export const forgetShown = (): void => banners.forEach((banner) => delete banner.dataset.decisionId);
