/** Options: what the page passed to `configure`, then its `<meta name="live-banner">`; and messages about mistakes in them. */
import type { Options, Page } from "./types.ts";

declare const __DOCS__: string;

/** Starts the names of events and of stored entries, and messages. */
export const PREFIX = "live-banner:";
const NAMES = ["endpoint", "key", "token", "page", "consent", "transport", "preview"];

/** What the page passed to `configure`. */
export const configured: Options = {};
const reported: Record<string, boolean> = {};

/** Report a mistake in the console, once, with the address of the documentation. */
export const complain = (problem: unknown): void => {
  const message = `${PREFIX} ${problem}. See ${__DOCS__}`;
  if (!reported[message]) console.error(message);
  reported[message] = true;
};

const meta = (): HTMLMetaElement | null => document.querySelector("meta[name=live-banner]");

/** An attribute `data-<name>` of the page's tag. */
export const fromPage = (name: string): string | undefined => meta()?.dataset[name];

/** An option; from the page's tag it is any string. */
export const option = (name: Exclude<keyof Options, "token" | "page">): string | undefined => configured[name] ?? fromPage(name);

export const endpoint = (): string => configured.endpoint || meta()?.content || "/graphql";

/** Take over options. An unknown one is reported by its name and left out. */
export const setOptions = (options: Options): void => {
  for (const name in options)
    if (NAMES.includes(name)) configured[name as "key"] = options[name as "key"]!;
    else complain("unknown option " + name);
};

const cut = (text: string, length = 2048): string | undefined => text.slice(0, length) || undefined;

/** The page as a PageInput; strings are cut to the lengths that the gateway allows. */
export const currentPage = (): Page => {
  let page = configured.page;
  try {
    page ||= JSON.parse(fromPage("page") || "{}") as Page;
  } catch (problem) {
    complain("data-page: " + problem);
  }
  return {
    url: cut(location.href),
    title: cut(document.title, 512),
    referrer: cut(document.referrer),
    locale: cut(document.documentElement.lang),
    ...page,
  } as Page;
};
