/** Who visits: consent, the token and its sources, the clock, and what is stored of them. Nothing is stored before consent. */
import { loadLazily } from "./chunk.ts";
import { UNAUTHENTICATED } from "./codes.ts";
import { offsetOf, stampAfter } from "./clock.ts";
import { fromPage, given, option, PREFIX } from "./options.ts";
import type { Refusal } from "./queue.ts";

const RENEW_BEFORE_MS = 60_000;
const COOKIE = "visitor_token=";
const COOKIE_SECONDS = 2_592_000;

let token: string | undefined;
let refused: string | undefined;
let renewing: Promise<string> | undefined;
let offset: number | undefined;
let last = 0;

export const newId = (): string => Date.now() + "-" + Math.random();

// What is stored

/** Storage that all tabs share, or where the browser allows none a memory of this page. */
export let storage: Record<string, string> = {};
let locks: LockManager | undefined;
try {
  storage = localStorage;
  locks = navigator.locks;
} catch {}

/** Write an entry that all tabs share; not before consent. */
export const store = (name: string, value: string): void => {
  try {
    if (isGranted()) storage[PREFIX + name] = value;
  } catch {}
};

/** Run under a lock that all tabs share; without locks (http) at once. */
export const locked = <T>(name: string, options: LockOptions, work: (lock: unknown) => Promise<T> | T): Promise<T> | T =>
  (locks?.request(name, options, work) as Promise<T>) ?? work(1);

/** Whether the visitor may be known and things may be stored. */
export const isGranted = (): boolean => {
  const page = option("consent");
  const said = storage[PREFIX + "consent"];
  return page !== "denied" && (said ? said === "1" : page ? page === "granted" : !(navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl);
};

let visit: string;
/** Whether another page has changed the visitor since this was asked last; also while this one lay in the back/forward cache. */
export const isAnother = (): boolean => visit !== (visit = storage[PREFIX + "visit"] + "," + storage[PREFIX + "consent"]);

// The clock

export const now = (): number => Date.now() + (offset || +storage[PREFIX + "clock"]! || 0);
export const timeText = (ms: number): string => new Date(ms).toISOString();

/** The moment, later than every stamp before it. */
export const stamp = (): string => timeText((last = stampAfter(last, now())));

/** Learn the clock's offset from an answer, once a page. */
export const learn = (serverTime: string | undefined, sentMs: number): void => {
  if (serverTime && !offset) store("clock", (offset = offsetOf(serverTime, sentMs, Date.now()) || 1) + "");
};

// The token

export const cookie = (): string => ("; " + document.cookie).split("; " + COOKIE)[1]?.split(";")[0] || "";

export const setCookie = (pair: string, seconds: number): void => {
  document.cookie = `${pair};path=/;max-age=${seconds};samesite=lax` + (location.protocol > "http:" ? ";secure" : "");
};

export const claims = (of: string): { exp?: number; by?: string } => {
  try {
    return JSON.parse(atob(of.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/")));
  } catch {
    return {};
  }
};

export const known = (): string => (token ??= fromPage("token") || cookie());
/** Whether the gateway will take a token: for another minute, or with `slack` as far as we know. */
export const holds = (of: string, slack = 0): boolean => of !== refused && claims(of).exp! * 1e3 + slack > now() + RENEW_BEFORE_MS;

/** A token that holds for a while, without asking anyone; else an empty text. */
export const tokenAtHand = (): string => (holds(known()) ? token! : "");

/** What to show the gateway: the visitor's token, or before consent the publishable key. */
export const credential = async (): Promise<string | undefined> =>
  isGranted() ? tokenAtHand() || (renewing ??= loadLazily("renew").finally(() => (renewing = undefined))) : option("key");

/** Whether the gateway did not take this token: then another one is got before the next request. */
export const refuse = (refusal: Refusal | undefined, of: string | undefined): unknown => refusal?.code === UNAUTHENTICATED && (refused = of || "none");

export const setToken = (found: string): string => {
  if (isGranted() && !given.token) setCookie(COOKIE + found, COOKIE_SECONDS);
  return (token = found);
};

/** What the cookie holds counts: another page has changed it. */
export const readToken = (): unknown => (token = cookie());

export const forgetToken = (): unknown => (setCookie(COOKIE, 0), readToken());
