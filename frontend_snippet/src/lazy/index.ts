/**
 * All that a page needs seldom, in one file: a banner is swapped, a visit starts, someone logs in or out, a gateway does not know
 * our document; and for pages that ask for it WebSocket, related products, names of other trackers, `?gw_debug`.
 */
export { identify, renew, setConsent } from "./visit.ts";
export { showState } from "./debug.ts";
export { overWebSocket } from "./websocket.ts";
export { translate } from "./adapters.ts";
export { showProducts } from "./products.ts";
export { fill } from "./render.ts";

/** The text of the persisted document; it lies beside this file. */
export const text = async (): Promise<string | undefined> => {
  const found = await (await fetch(new URL("live-banner.graphql", import.meta.url))).text();
  // A server may say anything where the file is not.
  if (/^sub/.test(found)) return found;
  return;
};

// A page that is still arriving has the parser at work in its banners: what is put into one then would not stay alone.
if (document.readyState == "loading") await new Promise((parsed) => addEventListener("DOMContentLoaded", parsed));
