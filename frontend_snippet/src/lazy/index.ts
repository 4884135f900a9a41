/**
 * The chunk: what a page needs rarely, in one file that is loaded when it is first needed. A banner is swapped, a visit starts, someone
 * logs in or out, consent is given or withdrawn, a gateway does not know our document; and for pages that ask for it WebSocket, related
 * products, the event names of other trackers, `?gw_debug`.
 *
 * The names exported here and their parameters are a contract with older cores, as in ../host.ts. The README says what belongs here.
 */
export { identify, renew, setConsent } from "./visit.ts";
export { showState } from "./debug.ts";
export { overWebSocket } from "./websocket.ts";
export { translate } from "./adapters.ts";
export { showProducts } from "./products.ts";
export { fill } from "./render.ts";

/** The text of the persisted document, which lies next to this file; undefined if the server has something else there. */
export const text = async (): Promise<string | undefined> => {
  const document = await (await fetch(new URL("live-banner.graphql", import.meta.url))).text();
  if (/^sub/.test(document)) return document;
  return;
};

// While the page is still arriving, the parser may be inside a banner, and would add to what is put there.
if (document.readyState == "loading") await new Promise((resolve) => addEventListener("DOMContentLoaded", resolve));
