/** Who visits: consent, the token and its sources, the clock, and what is stored of them. Nothing is stored before consent. */
import { offsetOf, stampAfter } from "./clock.ts";
import { run } from "./http.ts";
import { complain, fromPage, given, option } from "./options.ts";
import type { Refusal } from "./queue.ts";

export const PREFIX = "live-banner:";
const RENEW_BEFORE_MS = 60_000;
const COOKIE = "visitor_token=";
const COOKIE_SECONDS = 2_592_000;

let token: string | undefined;
let refused: string | undefined;
let renewing: Promise<string> | undefined;
let offset: number | undefined;
let last = 0;

export const newId = (): string => `${Date.now()}-${Math.random()}`;

// What is stored

/** Storage that all tabs share, or where the browser allows none a memory of this page. */
export let storage: Record<string, string> = {};
try {
  storage = localStorage;
} catch {}

/** Write an entry that all tabs share; not before consent. */
export function store(name: string, value: string): void {
  try {
    if (isGranted()) storage[PREFIX + name] = value;
  } catch {}
}

/** Run under a lock that all tabs share; without locks (http) at once. */
export const locked = <T>(name: string, options: LockOptions, work: (lock: unknown) => Promise<T> | T): Promise<T> | T =>
  navigator.locks ? (navigator.locks.request(name, options, work) as Promise<T>) : work(1);

/** Whether the visitor may be known and things may be stored. */
export function isGranted(): boolean {
  const page = option("consent");
  const said = storage[PREFIX + "consent"];
  return page !== "denied" && (said ? said === "1" : page !== "pending" && !(navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl);
}

/** Keep the visitor's answer; after a refusal nothing but that. */
export function setGranted(isGranted: boolean): void {
  if (!isGranted) {
    for (const key in storage) if (key.startsWith(PREFIX)) delete storage[key];
    forgetToken();
  }
  storage[PREFIX + "consent"] = isGranted ? "1" : "0";
}

// The clock

export const now = (): number => Date.now() + (offset ??= isGranted() ? +storage[PREFIX + "clock"]! || 0 : 0);
export const timeText = (ms: number): string => new Date(ms).toISOString();

/** The moment, later than every stamp before it. */
export const stamp = (): string => timeText((last = stampAfter(last, now())));

let isLearned = false;
/** Learn the clock's offset from an answer, once a page. */
export function learn(serverTime: string, sentMs: number): void {
  if (!isLearned) store("clock", (offset = offsetOf(serverTime, sentMs, Date.now()) || 0) + "");
  isLearned = true;
}

// The token

function publishableKey(): string | undefined {
  const key = option("key");
  if (/^pk/.test(key!)) return key;
  complain("data-key must be a publishable key");
  return undefined;
}

const cookie = (): string => RegExp(COOKIE + "([^;]+)").exec(document.cookie)?.[1] || "";

export function setCookie(pair: string, seconds: number): void {
  document.cookie = `${pair};path=/;max-age=${seconds};samesite=lax` + (location.protocol > "http:" ? ";secure" : "");
}

function claims(of: string): { exp?: number; by?: string } {
  try {
    return JSON.parse(atob(of.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/")));
  } catch {
    return {};
  }
}

const known = (): string => (token ??= fromPage("token") || cookie());
const holds = (of: string): boolean => of !== refused && claims(of).exp! * 1e3 > now() + RENEW_BEFORE_MS;

/** A token that holds for a while, without asking anyone; else an empty text. */
export const tokenAtHand = (): string => (holds(known()) ? token! : "");

/** A token that `startVisit` gave, by which an anonymous visitor can be joined to a known one. */
export const anonymousToken = (): string | false | undefined => claims(known()).by && token;

/** What to show the gateway: the visitor's token, or before consent the publishable key. */
export const credential = async (): Promise<string | undefined> =>
  isGranted() ? tokenAtHand() || (renewing ??= (async () => locked(PREFIX, {}, renew))().finally(() => (renewing = undefined))) : publishableKey();

/** The gateway did not take this token: get another one before the next request. */
export const refuse = ({ code }: Refusal, of: string | undefined): void => {
  if (/^UNAU/.test(code!)) refused = of;
};

export function setToken(found: string): string {
  if (!given.token) setCookie(COOKIE + found, COOKIE_SECONDS);
  return (token = found);
}

/** Forget the token; when another tab has done so, what its cookie holds now counts. */
export function forgetToken(isElsewhere?: boolean): void {
  if (!isElsewhere) setCookie(COOKIE, 0);
  token = cookie();
}

async function renew(): Promise<string> {
  const shared = cookie();
  if (given.token) return (token = await given.token());
  if (holds(shared)) return (token = shared);
  const old = anonymousToken();
  // The token of a known visitor is not ours to renew: it is used until the gateway refuses it.
  if (!old && token && token !== refused) return token;
  return setToken(await visit(old || undefined).catch((refusal: Refusal) => (old && /^UNAU/.test(refusal.code!) ? visit() : Promise.reject(refusal))));
}

async function visit(token?: string): Promise<string> {
  const sent = Date.now();
  const found = await run<{ token: string; serverTime: string }>("Visit", { token }, publishableKey());
  learn(found.serverTime, sent);
  return found.token;
}
