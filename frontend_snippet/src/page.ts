/** What a page may do with its options and its visitor, and the core as the chunk sees it. */
import { forgetShown } from "./banners.ts";
import type { Core } from "./host.ts";
import { runOperation } from "./http.ts";
import { complain, configured, option, setOptions } from "./options.ts";
import { claimQueues, enqueue, flush, replaceQueue } from "./outbox.ts";
import { restart } from "./stream.ts";
import type { LiveBannerApi, Options } from "./types.ts";
import {
  claimsOf, cookieToken, currentToken, forgetToken, hasVisitorChanged, isGranted, isValid, newId, setToken, storage, store, withLock,
} from "./visitor.ts";

/** Set options; they are valid from the next request on. */
export const configure = (options: Options): void => {
  setOptions(options);
  hasVisitorChanged();
  claimQueues();
  restart();
};

/** The visitor is another one: what is shown was decided for someone else. */
export const followVisitor = (): void => {
  forgetShown();
  restart();
};

/** … and the other tabs hear of it. */
export const announceVisitor = (): void => {
  followVisitor();
  store("visit", newId());
  hasVisitorChanged();
};

/** The visitor has logged out: a new visit, in all tabs. */
export const reset: LiveBannerApi["reset"] = async () => {
  void flush();
  replaceQueue([]);
  forgetToken();
  announceVisitor();
};

export const core: Core = {
  _changed: announceVisitor,
  _claims: claimsOf,
  _complain: complain,
  _configure: configure,
  _cookie: cookieToken,
  _enqueue: enqueue,
  _given: configured,
  _holds: isValid,
  _isGranted: isGranted,
  _known: currentToken,
  _locked: withLock,
  _option: option,
  _reset: reset,
  _run: runOperation,
  _sendLast: flush,
  _setToken: setToken,
  _storage: storage,
};
