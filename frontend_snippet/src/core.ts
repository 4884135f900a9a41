/** The core as the chunk `more` sees it, and the way to the chunk. */
import { claims, cookie, forgetToken, holds, isAnother, isGranted, known, locked, newId, setToken, storage, store } from "./visitor.ts";
import { disown } from "./element.ts";
import type { LiveBannerApi, Options } from "./types.ts";
import { claim, enqueue, keep, sendLast } from "./outbox.ts";
import { restart } from "./stream.ts";
import { run } from "./http.ts";
import type * as Chunk from "./chunks/more.ts";
import { complain, given, option, setOptions } from "./options.ts";

/** Set options; they hold from the next request on. */
export const configure = (options: Options): void => {
  setOptions(options);
  isAnother();
  claim();
  restart();
};

/** The visitor is another one: what is shown was decided for someone else. */
export function changed(): void {
  disown();
  restart();
}

/** … and other tabs hear of it. */
export function announce(): void {
  changed();
  store("visit", newId());
  isAnother();
}

/** The visitor has logged out: a new visit, in all tabs. */
export const reset: LiveBannerApi["reset"] = async () => {
  void sendLast();
  keep([]);
  forgetToken();
  announce();
};

/** What the chunk uses of the core. It is handed over, since a chunk cannot know by which address the page got the core. */
const core = () => ({
  _changed: announce, _claims: claims, _complain: complain, _configure: configure, _cookie: cookie, _enqueue: enqueue, _given: given,
  _holds: holds, _isGranted: isGranted, _known: known, _locked: locked, _option: option, _reset: reset, _run: run, _sendLast: sendLast,
  _setToken: setToken, _storage: storage,
});
export type Core = ReturnType<typeof core>;

/** Where the chunk lies. A browser remembers that a file could not be had: after a failure it is asked for by another name. */
let chunk = "./live-banner.more.js";
export const more = (): Promise<typeof Chunk> =>
  import(chunk).catch((problem) => {
    chunk += "?";
    throw problem;
  });

/** Run something of the chunk. */
export const seldom = async (name: keyof typeof Chunk, ...parameters: unknown[]): Promise<never> =>
  ((await more()) as unknown as Record<string, (...all: unknown[]) => Promise<never>>)[name]!(core(), ...parameters);

