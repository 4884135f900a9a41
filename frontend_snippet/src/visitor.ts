/** Who visits: consent, the token and its sources, the clock, and what is stored of them. Nothing is stored before consent. */
import { loadLazily } from "./chunk.ts";
import { offsetOf, stampAfter } from "./clock.ts";
import { UNAUTHENTICATED } from "./codes.ts";
import { configured, fromPage, option, PREFIX } from "./options.ts";
import type { Refusal } from "./queue.ts";

const RENEW_BEFORE_MS = 60_000;
const COOKIE = "visitor_token=";
const COOKIE_SECONDS = 2_592_000;

let token: string | undefined;
let refusedToken: string | undefined;
let renewal: Promise<string> | undefined;
let offsetMs: number | undefined;
let lastStampMs = 0;

export const newId = (): string => Date.now() + "-" + Math.random();

// Storage

/** Storage that all tabs share; where the browser allows none, a memory of this page. */
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

/** Run `work` under a lock that all tabs share; at once where there are no locks (http). */
export const withLock = <T>(name: string, options: LockOptions, work: (lock: unknown) => Promise<T> | T): Promise<T> | T =>
  (locks?.request(name, options, work) as Promise<T>) ?? work(1);

/** Whether the visitor may be recognized and things may be stored. */
export const isGranted = (): boolean => {
  const fromOptions = option("consent");
  const answer = storage[PREFIX + "consent"];
  return (
    fromOptions !== "denied" &&
    (answer
      ? answer === "1"
      : fromOptions
        ? fromOptions === "granted"
        : !(navigator as { globalPrivacyControl?: boolean }).globalPrivacyControl)
  );
};

let visit: string;
/** Whether another page has changed the visitor since the last call; even if this page lay in the back/forward cache. */
export const hasVisitorChanged = (): boolean => visit !== (visit = storage[PREFIX + "visit"] + "," + storage[PREFIX + "consent"]);

// The clock

/** The time by the gateway's clock, as far as its offset is known. */
export const nowMs = (): number => Date.now() + (offsetMs || +storage[PREFIX + "clock"]! || 0);
export const formatTime = (ms: number): string => new Date(ms).toISOString();

/** The current time as a timestamp later than every timestamp before it. */
export const nextTimestamp = (): string => formatTime((lastStampMs = stampAfter(lastStampMs, nowMs())));

/** Learn the offset of our clock from an answer, once a page. */
export const learnClock = (serverTime: string | undefined, sentMs: number): void => {
  if (serverTime && !offsetMs) store("clock", (offsetMs = offsetOf(serverTime, sentMs, Date.now()) || 1) + "");
};

// The token

/** The token in the cookie, or an empty string. */
export const cookieToken = (): string => ("; " + document.cookie).split("; " + COOKIE)[1]?.split(";")[0] || "";

export const setCookie = (pair: string, seconds: number): void => {
  document.cookie = `${pair};path=/;max-age=${seconds};samesite=lax` + (location.protocol > "http:" ? ";secure" : "");
};

/** What a token says, unverified; `{}` if it cannot be read. */
export const claimsOf = (token: string): { exp?: number; by?: string } => {
  try {
    return JSON.parse(atob(token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/")));
  } catch {
    return {};
  }
};

/** The visitor's token, valid or not; or an empty string. */
export const currentToken = (): string => (token ??= fromPage("token") || cookieToken());

/** Whether the gateway will accept a token for another minute, as far as we know; `slackMs` is added to its end. */
export const isValid = (token: string, slackMs = 0): boolean =>
  token !== refusedToken && claimsOf(token).exp! * 1e3 + slackMs > nowMs() + RENEW_BEFORE_MS;

/** The visitor's token if it is valid, without a request; otherwise an empty string. */
export const validToken = (): string => (isValid(currentToken()) ? token! : "");

/** What to show the gateway: the visitor's token, or before consent the publishable key. */
export const credential = async (): Promise<string | undefined> =>
  isGranted() ? validToken() || (renewal ??= loadLazily("renew").finally(() => (renewal = undefined))) : option("key");

/** Whether the gateway refused this token; if so, the next request uses another one. */
export const isRefused = (refusal: Refusal | undefined, token: string | undefined): unknown =>
  refusal?.code === UNAUTHENTICATED && (refusedToken = token || "none");

/** Use a token from now on; returns it. */
export const setToken = (newToken: string): string => {
  if (isGranted() && !configured.token) setCookie(COOKIE + newToken, COOKIE_SECONDS);
  return (token = newToken);
};

/** Use the token in the cookie: another page has changed it. */
export const readToken = (): unknown => (token = cookieToken());

export const forgetToken = (): unknown => (setCookie(COOKIE, 0), readToken());
