/** What happens seldom to a visitor: a visit starts or is renewed, someone logs in or out, consent is given or withdrawn. */
import type { Core } from "../core.ts";
import type { Refusal } from "../queue.ts";
import type { Identity } from "../types.ts";

const PREFIX = "live-banner:";

/** Another token, from the first of its sources that gives one; so that two tabs make one visitor, under a lock. */
export const renew = (core: Core): Promise<string> | string =>
  core._locked(PREFIX, {}, async () => {
    const shared = core._cookie();
    if (core._given.token) return core._setToken(await core._given.token());
    if (core._holds(shared)) return core._setToken(shared);
    const known = core._known();
    const isOurs = core._claims(known).by;
    // The token of a known visitor is not ours to renew: it is used until the gateway refuses it.
    if (known && !isOurs && core._holds(known, Infinity)) return known;
    core._setToken(await visit(core, isOurs && known).catch((refusal: Refusal) => (isOurs && /^UNAU/.test(refusal.code!) ? visit(core) : Promise.reject(refusal))));
    // Read back before the lock is given away: only then the other tabs are sure to see it.
    return core._cookie() || core._known();
  });

async function visit(core: Core, token?: string): Promise<string> {
  const key = core._option("key");
  if (!/^pk/.test(key!)) {
    core._complain("data-key must be a publishable key");
    throw {};
  }
  return (await core._run<{ token: string }>("Visit", { token }, key)).token;
}

export async function identify(core: Core, { token, traits }: Identity = {}): Promise<void> {
  const known = core._known();
  await core._sendLast();
  const found = token || (await core._given.token?.());
  if (found) core._setToken(found);
  core._enqueue({ operation: "Identify", anonymousToken: found && core._claims(known).by ? known : undefined, traits });
  change(core);
}

export async function reset(core: Core): Promise<void> {
  await core._sendLast();
  core._keep([]);
  core._forgetToken();
  change(core);
}

export async function setConsent(core: Core, personalization: boolean, measurement?: boolean): Promise<void> {
  const storage = core._storage;
  if (personalization) storage[PREFIX + "consent"] = "1";
  if (core._isGranted()) core._enqueue({ operation: "Consent", personalization, measurement });
  if (!personalization) {
    await core._sendLast();
    core._keep([]);
    core._forgetToken();
    for (const key in storage) if (key.startsWith(PREFIX)) delete storage[key];
    storage[PREFIX + "consent"] = "0";
  }
  core._configure({});
}

/** The visitor is another one, and other tabs hear of it. */
function change(core: Core): void {
  core._changed();
  if (core._isGranted()) core._storage[PREFIX + "visit"] = Date.now() + "";
}
