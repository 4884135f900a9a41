/** The snippet's public face. Importing it is enough: it defines `<live-banner>` and follows the page's life. */
import { disown, LiveBanner, lookAgain } from "./element.ts";
import { given, setOptions } from "./options.ts";
import { claim, clearQueue, enqueue, enqueueEvent, leave, retryNow, sendLast } from "./outbox.ts";
import { check, restart } from "./stream.ts";
import type { Identity, LiveBannerApi, Options } from "./types.ts";
import { anonymousToken, forgetToken, isGranted, PREFIX, setGranted, setToken, store } from "./visitor.ts";

export type * from "./types.ts";

/** Set options; they hold from the next request on. */
export const configure: LiveBannerApi["configure"] = (options: Options) => {
  setOptions(options);
  claim();
  restart();
};

/** Report an event. It is sent as soon as possible, and again until the gateway has it. */
export const track: LiveBannerApi["track"] = (type, ...[payload]) => enqueueEvent({ type, ...(payload as object) });

/** The visitor has logged in: join what the anonymous visitor did to the known one. */
export async function identify({ token, traits }: Identity = {}): Promise<void> {
  const anonymous = anonymousToken();
  await sendLast();
  const found = token || (await given.token?.());
  if (found) setToken(found);
  enqueue({ operation: "Identify", anonymousToken: (found && anonymous) || undefined, traits });
  visitorChanged();
}

/** The visitor's answer. Without personalization nothing is stored and nobody is followed. */
export async function setConsent(personalization: boolean, measurement?: boolean): Promise<void> {
  if (personalization) setGranted(true);
  if (isGranted()) enqueue({ operation: "Consent", personalization, measurement });
  if (!personalization) {
    await sendLast();
    clearQueue();
    setGranted(false);
  }
  claim();
  restart();
}

/** The visitor has logged out: a new visit, in all tabs. */
export async function reset(): Promise<void> {
  await sendLast();
  clearQueue();
  forgetToken();
  visitorChanged();
}

function visitorChanged(): void {
  disown();
  // For the other tabs, which hear of it.
  store("visit", Date.now() + "");
  restart();
}

function follow({ type, key, persisted }: StorageEvent & PageTransitionEvent): void {
  if (type === "pageshow" && !persisted) return;
  if (type === "storage") {
    if (key !== PREFIX + "visit") return;
    forgetToken(true);
    disown();
  }
  if (type === "online") retryNow?.();
  restart();
  lookAgain();
  void sendLast();
  if (type === "pagehide") leave();
  else claim();
}

if (globalThis.document && !customElements.get("live-banner")) {
  customElements.define("live-banner", LiveBanner as unknown as CustomElementConstructor);
  claim();
  for (const name of ["online", "pagehide", "pageshow", "storage", "visibilitychange"]) addEventListener(name, follow as unknown as EventListener);
  setInterval(check, 5_000);
  (globalThis as { navigation?: EventTarget }).navigation?.addEventListener("currententrychange", check);
  if (/[?&]gw_debug/.test(location.search)) void import("./live-banner.debug.js" as string);
}
