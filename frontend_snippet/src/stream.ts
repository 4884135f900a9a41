/** The one stream of a page: open while the page is visible and has banners, opened again after every cut. */
import { banners, forgetShown, placements, show, shownIds } from "./banners.ts";
import { loadChunk } from "./chunk.ts";
import { bodyOf, refusalOf, runOperation } from "./http.ts";
import { complain, currentPage, endpoint, option } from "./options.ts";
import { backoffMs, isTemporary } from "./queue.ts";
import type { Refusal } from "./queue.ts";
import { overEventStream } from "./sse.ts";
import type { Transport } from "./transport.ts";
import type { Decision } from "./types.ts";
import { credential, isRefused } from "./visitor.ts";

/** The gateway sends a sign of life at least every 15 s. */
const SILENCE_MS = 20_000;

let connection: AbortController | undefined;
let startTimer: ReturnType<typeof setTimeout> | undefined;
let heardAtMs: number;
let address: string | undefined;

const currentAddress = (): string => location.href.split("#")[0]!;

/** Open the stream again, with what is shown now; or leave it closed while nobody looks. */
export const restart = (): void => {
  connection?.abort();
  connection = undefined;
  clearTimeout(startTimer);
  // Elements that come and go in the same moment make one stream.
  startTimer = setTimeout(() => {
    // Another page of a single-page application: a banner that a frequency cap would end is no longer kept.
    if (address && address !== currentAddress()) forgetShown();
    address = currentAddress();
    if (!document.hidden && banners.size) void keepOpen();
  }, 20);
};

/** Timers sleep with the machine, the clock does not: silence and a new address are noticed here. */
export const check = (): void => {
  if (currentAddress() !== address) restart();
  if (Date.now() - heardAtMs > SILENCE_MS) connection?.abort();
};

const keepOpen = async (): Promise<void> => {
  let failures = 0;
  for (let controller: AbortController | undefined; controller === connection; ) {
    let refusal: Refusal = {};
    let token: string | undefined;
    let isAlive: boolean | undefined;
    controller = connection = new AbortController();
    const openedMs = (heardAtMs = Date.now());
    try {
      token = await credential();
      const transport: Transport = option("transport") === "websocket" ? (await loadChunk()).overWebSocket : overEventStream;
      await transport(
        bodyOf("Live", { shown: shownIds(), ...pageVariables() }),
        token,
        controller.signal,
        ({ data, errors }) => {
          if (errors) refusal = refusalOf(errors);
          else if (controller === connection) {
            show(Object.values(data!)[0] as Decision);
            failures = 0;
          }
        },
        () => {
          heardAtMs = Date.now();
          isAlive = true;
          if (heardAtMs - openedMs > 1e4) failures = 0;
        },
        endpoint(),
      );
    } catch (problem: any) {
      refusal = problem;
    }
    controller.abort();
    if (controller !== connection) return;
    if (isAlive && !refusal?.code) failures = 0;
    if (!isTemporary(refusal)) return complain(refusal.message);
    if (isRefused(refusal, token) && failures > 1) complain(refusal.message);
    // Something between us and the gateway may hold streams back: then plain answers bring what is new.
    if (!isAlive) await queryDecisions().catch(String);
    await new Promise((resolve) => setTimeout(resolve, backoffMs(failures++, refusal)));
  }
};

const pageVariables = () => ({ placements: placements(), page: currentPage(), previewToken: option("preview") });

const queryDecisions = async (): Promise<void> =>
  (await runOperation<Decision[]>("Ask", pageVariables(), await credential())).forEach(show);
