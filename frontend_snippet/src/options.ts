/** Options: what `configure` was given, else the page's `<meta name="live-banner">`; and messages about mistakes in them. */
import type { Options, Page } from "./types.ts";

declare const __DOCS__: string;

/** Of events, messages and what is stored. */
export const PREFIX = "live-banner:";
export const given: Options = {};
const reported: Record<string, boolean> = {};

/** Say what is wrong, once, with the place in the docs. */
export const complain = (problem: unknown): void => {
  const message = `${PREFIX} ${problem}. See ${__DOCS__}`;
  if (!reported[message]) console.error(message);
  reported[message] = true;
};

const meta = (): HTMLMetaElement | null => document.querySelector("meta[name=live-banner]");

/** An option; from the page it is a text. */
export const option = (name: Exclude<keyof Options, "token" | "page">): string | undefined => given[name] ?? fromPage(name);

/** What the page's tag says. */
export const fromPage = (name: string): string | undefined => meta()?.dataset[name];

export const endpoint = (): string => given.endpoint || meta()?.content || "/graphql";

/** Take over options; a mistake is named and left out. */
export const setOptions = (options: Options): void => {
  for (const name in options)
    if (NAMES.includes(name)) given[name as "key"] = options[name as "key"]!;
    else complain("unknown option " + name);
};

const NAMES = ["endpoint", "key", "token", "page", "consent", "transport", "preview"];

const cut = (text: string, length = 2048): string | undefined => text.slice(0, length) || undefined;

/** The page as a PageInput. */
export const currentPage = (): Page => {
  let own = given.page;
  try {
    own ||= JSON.parse(fromPage("page") || "{}") as Page;
  } catch (problem) {
    complain("data-page: " + problem);
  }
  return { url: cut(location.href), title: cut(document.title, 512), referrer: cut(document.referrer), locale: cut(document.documentElement.lang), ...own } as Page;
};
