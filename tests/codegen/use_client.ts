/** What a shop does with documents generated from clients/python/personalization_gateway/operations; the argument is a key. Prints what came. */
import { BannersDocument, StartVisitDocument, type DecisionReason } from "./gen/graphql.ts";
import { ask } from "./gateway.ts";

declare const process: { argv: [string, string, string] };
const key = process.argv[2];

const { startVisit } = await ask(StartVisitDocument, {}, key);
const { banners } = await ask(BannersDocument, { placements: ["homepage-hero"], maxWaitMs: 0, page: { type: "home" } }, key);
const decision = banners?.[0];
const headline: string | undefined = decision?.banner?.headline;
const reason: DecisionReason | undefined = decision?.reason;
const token: string | undefined = startVisit?.token;
console.log(JSON.stringify({ token, reason, headline }));

/** The compiler finds each of these; nobody calls it. */
export async function mistakes() {
  // @ts-expect-error a required variable is missing
  await ask(BannersDocument, { placements: [] }, key);
  // @ts-expect-error the operation has no such variable
  await ask(BannersDocument, { placements: [], maxWaitMs: 0, colour: "red" }, key);
  // @ts-expect-error a page has no such field
  await ask(BannersDocument, { placements: [], maxWaitMs: 0, page: { kind: "home" } }, key);
  // @ts-expect-error there may be no banner
  decision?.banner.headline;
  // @ts-expect-error a banner has no such field
  decision?.banner?.subtitle;
  // @ts-expect-error there is no such reason
  return decision?.reason === "BECAUSE";
}
