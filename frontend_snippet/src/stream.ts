/** The one stream of a page: open while the page is visible and has banners, opened again after every cut. */
import { banners, forgetShown, placements, show, shownIds } from "./banners.ts";
import { loadChunk } from "./chunk.ts";
import { bodyOf, refusalOf, run } from "./http.ts";
import { complain, currentPage, endpoint, option } from "./options.ts";
import { backoffMs, passes } from "./queue.ts";
import type { Refusal } from "./queue.ts";
import { overEventStream } from "./sse.ts";
import type { Transport } from "./transport.ts";
import type { Decision } from "./types.ts";
import { credential, refuse } from "./visitor.ts";

/** The gateway gives a sign of life every 15 s or more often. */
const SILENCE_MS = 20_000;

let connection: AbortController | undefined;
let starting: ReturnType<typeof setTimeout> | undefined;
let heardAt: number;
let address: string | undefined;

const here = (): string => location.href.split("#")[0]!;

/** Open the stream anew, with what is shown now; or leave it closed while nobody looks. */
export const restart = (): void => {
  connection?.abort();
  connection = undefined;
  clearTimeout(starting);
  // Elements that come and go in the same moment make one stream.
  starting = setTimeout(() => {
    // Another page of a single-page application: what a cap would end is no longer held.
    if (address && address !== here()) forgetShown();
    address = here();
    if (!document.hidden && banners.size) void keepOpen();
  }, 20);
};

/** Timers sleep with the machine, the clock does not: silence and a new address are seen here. */
export const check = (): void => {
  if (here() !== address) restart();
  if (Date.now() - heardAt > SILENCE_MS) connection?.abort();
};

const keepOpen = async (): Promise<void> => {
  let failures = 0;
  for (let own: AbortController | undefined; own === connection; ) {
    let refusal: Refusal = {};
    let shown: string | undefined;
    let isAlive: boolean | undefined;
    own = connection = new AbortController();
    const opened = (heardAt = Date.now());
    try {
      shown = await credential();
      const transport: Transport = option("transport") === "websocket" ? (await loadChunk()).overWebSocket : overEventStream;
      await transport(
        bodyOf("Live", { shown: shownIds(), ...question() }),
        shown,
        own.signal,
        ({ data, errors }) => {
          if (errors) refusal = refusalOf(errors);
          else if (own === connection) {
            show(Object.values(data!)[0] as Decision);
            failures = 0;
          }
        },
        () => {
          heardAt = Date.now();
          isAlive = true;
          if (heardAt - opened > 1e4) failures = 0;
        },
        endpoint(),
      );
    } catch (problem: any) {
      refusal = problem;
    }
    own.abort();
    if (own !== connection) return;
    if (isAlive && !refusal?.code) failures = 0;
    if (!passes(refusal)) return complain(refusal.message);
    if (refuse(refusal, shown) && failures > 1) complain(refusal.message);
    // Something between us and the gateway may hold streams back: then plain answers tell what is new.
    if (!isAlive) await ask().catch(String);
    await new Promise((resolve) => setTimeout(resolve, backoffMs(failures++, refusal)));
  }
};

const question = () => ({ placements: placements(), page: currentPage(), previewToken: option("preview") });

const ask = async (): Promise<void> => (await run<Decision[]>("Ask", question(), await credential())).forEach(show);
