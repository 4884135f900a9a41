/** The core as the chunk `more` sees it, and the way to the chunk. */
import { claims, cookie, forgetToken, holds, isGranted, known, locked, setToken, storage } from "./visitor.ts";
import { disown } from "./element.ts";
import type { Options } from "./types.ts";
import { claim, enqueue, keep, sendLast } from "./outbox.ts";
import { restart } from "./stream.ts";
import { run } from "./http.ts";
import type * as Chunk from "./chunks/more.ts";
import { complain, given, option, setOptions } from "./options.ts";

/** Set options; they hold from the next request on. */
export const configure = (options: Options): void => {
  setOptions(options);
  claim();
  restart();
};

/** The visitor is another one: what is shown was decided for someone else. */
export function changed(): void {
  disown();
  restart();
}

/** What the chunk uses of the core. It is handed over, since a chunk cannot know by which address the page got the core. */
const core = () => ({
  _changed: changed, _claims: claims, _complain: complain, _configure: configure, _cookie: cookie, _enqueue: enqueue, _forgetToken: forgetToken, _given: given,
  _holds: holds, _isGranted: isGranted, _keep: keep, _known: known, _locked: locked, _option: option, _run: run, _sendLast: sendLast,
  _setToken: setToken, _storage: storage,
});
export type Core = ReturnType<typeof core>;


export const more = (): Promise<typeof Chunk> => import("./live-banner.more.js" as string);

/** Run something of the chunk. */
export const seldom = async (name: keyof typeof Chunk, ...parameters: unknown[]): Promise<never> =>
  ((await more()) as unknown as Record<string, (...all: unknown[]) => Promise<never>>)[name]!(core(), ...parameters);

