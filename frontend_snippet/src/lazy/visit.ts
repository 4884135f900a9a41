/** What happens rarely to a visitor: a visit starts or is renewed, someone logs in, consent is given or withdrawn. */
import { UNAUTHENTICATED } from "../codes.ts";
import type { Core } from "../host.ts";
import type { Refusal } from "../queue.ts";
import type { Identity } from "../types.ts";

const PREFIX = "live-banner:";

/**
 * Another token: from the page's own token service, from another tab, or from the gateway. Under a lock, so that two tabs make one
 * visitor. Throws a Refusal, or what the token service throws.
 */
export const renew = async (core: Core): Promise<string> => {
  const oldToken = core._known();
  const use = (token: string): string => {
    // Somebody has logged in or out meanwhile: what was requested before no longer counts.
    if (core._known() !== oldToken) throw {};
    return core._setToken(token);
  };
  const pageToken = await core._given.token?.();
  if (pageToken) return use(pageToken);
  return core._locked(PREFIX, {}, async () => {
    const sharedToken = core._cookie();
    const isOurs = core._claims(oldToken).by;
    // The token of a known visitor is not ours to renew: it is used until the gateway refuses it.
    if (oldToken && !isOurs && core._holds(oldToken, Infinity)) return oldToken;
    if (core._holds(sharedToken)) return use(sharedToken);
    use(await startVisit(core, isOurs && oldToken).catch((refusal: Refusal) => {
      if (isOurs && refusal.code === UNAUTHENTICATED) return startVisit(core);
      throw refusal;
    }));
    // Read back before the lock is released: only then are the other tabs sure to see it.
    return core._cookie() || core._known();
  });
};

const startVisit = async (core: Core, token?: string): Promise<string> => {
  const key = core._option("key");
  if (!/^pk/.test(key!)) {
    core._complain("data-key must be a publishable key");
    throw {};
  }
  return (await core._run<{ token: string }>("Visit", { token }, key)).token;
};

/** Use the token of the known visitor, and join what the anonymous one did. */
export const identify = async (core: Core, { token, traits }: Identity = {}): Promise<void> => {
  const oldToken = core._known();
  void core._sendLast();
  const newToken = token || (await core._given.token?.());
  if (newToken) core._setToken(newToken);
  core._enqueue({ operation: "Identify", anonymousToken: newToken && core._claims(oldToken).by ? oldToken : undefined, traits });
  // Read the cookie back before the other tabs hear of it: only then are they sure to see the new token.
  core._cookie();
  core._changed();
};

/** Store the visitor's answer and send it. Without personalization all that is stored is deleted; rejects if the gateway did not hear. */
export const setConsent = async (core: Core, personalization: boolean, measurement?: boolean): Promise<void> => {
  const storage = core._storage;
  const token = core._isGranted() && core._known();
  let request;
  if (!personalization) {
    // Not through the queue, which is emptied: this must arrive.
    request = token && core._run("Consent", { messageId: Date.now() + "", personalization, measurement }, token, true);
    void core._reset();
    for (const key in storage) if (key.startsWith(PREFIX)) delete storage[key];
  }
  storage[PREFIX + "consent"] = +personalization + "";
  if (personalization && core._isGranted()) core._enqueue({ operation: "Consent", personalization, measurement });
  core._configure({});
  await request;
};
