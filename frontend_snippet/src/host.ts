/**
 * What the core hands over to the chunk. The names are a contract between releases: a page that is open has the core of an older
 * release and loads the chunk of this one. So none is renamed, removed or changed in its meaning, and a new one is optional: an
 * older core does not have it. names.json holds their short forms.
 */
import type { Options } from "./types.ts";

export interface Core {
  /** The visitor is another one: forget what is shown, tell the other tabs, open the stream again. */
  _changed(): void;
  /** What a token says, unverified; `exp` in seconds since 1970, `by` only in tokens of the gateway. `{}` if it cannot be read. */
  _claims(token: string): { exp?: number; by?: string };
  /** Report a mistake once. */
  _complain(problem: unknown): void;
  /** Set options; without any it applies a change of consent. */
  _configure(options: Options): void;
  /** The token in the cookie, or an empty string. */
  _cookie(): string;
  /** Put an operation into the queue, and send it. */
  _enqueue(item: object): void;
  /** What the page passed to `configure`. */
  _given: Options;
  /** Whether the gateway will accept a token for another minute; `slackMs` is added to its end. */
  _holds(token: string, slackMs?: number): boolean;
  /** Whether the visitor consents to personalization. */
  _isGranted(): boolean;
  /** The visitor's token, valid or not; or an empty string. */
  _known(): string;
  /** Run under a lock that all tabs share. */
  _locked<T>(name: string, options: LockOptions, work: (lock: unknown) => Promise<T> | T): Promise<T> | T;
  /** An option, from `configure` or from the page's tag. */
  _option(name: Exclude<keyof Options, "token" | "page">): string | undefined;
  /** Log the visitor out. */
  _reset(): Promise<void>;
  /** The root field of an operation's answer. Throws a Refusal, or what `fetch` throws. */
  _run<T>(operation: string, variables: object, credential: string | undefined, keepalive?: boolean): Promise<T>;
  /** Send what waits, without waiting for its turn. */
  _sendLast(): Promise<unknown>;
  /** Use a token from now on; returns it. */
  _setToken(token: string): string;
  /** What all tabs share, or only this page where the browser allows no storage. */
  _storage: Record<string, string>;
}
