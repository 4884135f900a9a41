/** What happens seldom to a visitor: a visit starts or is renewed, someone logs in or out, consent is given or withdrawn. */
import { UNAUTHENTICATED } from "../codes.ts";
import type { Core } from "../host.ts";
import type { Refusal } from "../queue.ts";
import type { Identity } from "../types.ts";

const PREFIX = "live-banner:";

/** Another token, from the first of its sources that gives one; so that two tabs make one visitor, under a lock. */
export const renew = async (core: Core): Promise<string> => {
  const known = core._known();
  const take = (token: string): string => {
    // Somebody has logged in or out meanwhile: what was asked for before does not count.
    if (core._known() !== known) throw {};
    return core._setToken(token);
  };
  const found = await core._given.token?.();
  if (found) return take(found);
  return core._locked(PREFIX, {}, async () => {
    const shared = core._cookie();
    const isOurs = core._claims(known).by;
    // The token of a known visitor is not ours to renew: it is used until the gateway refuses it.
    if (known && !isOurs && core._holds(known, Infinity)) return known;
    if (core._holds(shared)) return take(shared);
    take(await visit(core, isOurs && known).catch((refusal: Refusal) => {
      if (isOurs && refusal.code === UNAUTHENTICATED) return visit(core);
      throw refusal;
    }));
    // Read back before the lock is given away: only then the other tabs are sure to see it.
    return core._cookie() || core._known();
  });
};

const visit = async (core: Core, token?: string): Promise<string> => {
  const key = core._option("key");
  if (!/^pk/.test(key!)) {
    core._complain("data-key must be a publishable key");
    throw {};
  }
  return (await core._run<{ token: string }>("Visit", { token }, key)).token;
};

export const identify = async (core: Core, { token, traits }: Identity = {}): Promise<void> => {
  const known = core._known();
  void core._sendLast();
  const found = token || (await core._given.token?.());
  if (found) core._setToken(found);
  core._enqueue({ operation: "Identify", anonymousToken: found && core._claims(known).by ? known : undefined, traits });
  core._changed();
};

export const setConsent = async (core: Core, personalization: boolean, measurement?: boolean): Promise<void> => {
  const storage = core._storage;
  const known = core._isGranted() && core._known();
  let told;
  if (!personalization) {
    // Past the queue, which is emptied: this must arrive.
    told = known && core._run("Consent", { messageId: Date.now() + "", personalization, measurement }, known, true);
    void core._reset();
    for (const key in storage) if (key.startsWith(PREFIX)) delete storage[key];
  }
  storage[PREFIX + "consent"] = +personalization + "";
  if (personalization && core._isGranted()) core._enqueue({ operation: "Consent", personalization, measurement });
  core._configure({});
  await told;
};
