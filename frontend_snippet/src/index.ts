/** The public face of the snippet. Importing it is enough: it defines `<live-banner>` and follows the life of the page. */
import { updateVisibility } from "./banners.ts";
import { loadLazily, setCore } from "./chunk.ts";
import { LiveBanner } from "./element.ts";
import { claimQueues, enqueueEvent, flush, releaseQueue, retryNow } from "./outbox.ts";
import { configure, core, followVisitor, reset } from "./page.ts";
import { check, restart } from "./stream.ts";
import type { LiveBannerApi } from "./types.ts";
import { hasVisitorChanged, readToken } from "./visitor.ts";

export type * from "./types.ts";

export { configure, reset };

/** Report an event. It is sent as soon as possible, and again until the gateway has it. */
export const track = ((type: string, payload?: object) => enqueueEvent({ type, ...payload })) as LiveBannerApi["track"];

/** The visitor has logged in: what the anonymous visitor did becomes the user's. */
export const identify: LiveBannerApi["identify"] = (identity) => loadLazily("identify", identity);

/** The visitor's answer about consent. Without personalization nothing is stored and nobody is followed. */
export const setConsent: LiveBannerApi["setConsent"] = (personalization, measurement) =>
  loadLazily("setConsent", personalization, measurement);

const follow = ({ type, persisted }: PageTransitionEvent): void => {
  if (type === "pageshow" && !persisted) return;
  if (hasVisitorChanged()) {
    readToken();
    followVisitor();
  } else if (type === "storage") return;
  if (type === "online") retryNow?.();
  restart();
  updateVisibility();
  void flush();
  if (type === "pagehide") releaseQueue();
  else claimQueues();
};

setCore(core);
if (globalThis.document && !customElements.get("live-banner")) {
  customElements.define("live-banner", LiveBanner as unknown as CustomElementConstructor);
  hasVisitorChanged();
  claimQueues();
  for (const name of ["online", "pagehide", "pageshow", "storage", "visibilitychange"])
    addEventListener(name, follow as unknown as EventListener);
  setInterval(check, 5_000);
  (globalThis as { navigation?: EventTarget }).navigation?.addEventListener("currententrychange", check);
  if (location.search.includes("gw_debug")) void loadLazily("showState");
}
