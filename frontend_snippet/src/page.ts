/** What a page may do with its visitor and its options; hands the core over to the chunk. */
import { forgetShown } from "./banners.ts";
import type { Core } from "./host.ts";
import { run } from "./http.ts";
import { complain, given, option, setOptions } from "./options.ts";
import { claim, enqueue, keep, sendLast } from "./outbox.ts";
import { restart } from "./stream.ts";
import type { LiveBannerApi, Options } from "./types.ts";
import { claims, cookie, forgetToken, holds, isAnother, isGranted, known, locked, newId, setToken, storage, store } from "./visitor.ts";

/** Set options; they hold from the next request on. */
export const configure = (options: Options): void => {
  setOptions(options);
  isAnother();
  claim();
  restart();
};

/** The visitor is another one: what is shown was decided for someone else. */
export const changed = (): void => {
  forgetShown();
  restart();
};

/** … and other tabs hear of it. */
export const announce = (): void => {
  changed();
  store("visit", newId());
  isAnother();
};

/** The visitor has logged out: a new visit, in all tabs. */
export const reset: LiveBannerApi["reset"] = async () => {
  void sendLast();
  keep([]);
  forgetToken();
  announce();
};

/** What the chunk uses of the core. */
export const core: Core = {
  _changed: announce, _claims: claims, _complain: complain, _configure: configure, _cookie: cookie, _enqueue: enqueue, _given: given,
  _holds: holds, _isGranted: isGranted, _known: known, _locked: locked, _option: option, _reset: reset, _run: run, _sendLast: sendLast,
  _setToken: setToken, _storage: storage,
};
