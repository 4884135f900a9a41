/** What a page does with documents generated from the snippet's; the argument is a key. Prints what came. */
import { AskDocument, LiveDocument, VisitDocument } from "./gen/graphql.ts";
import type { LiveSubscription, LiveSubscriptionVariables, TypedDocumentString } from "./gen/graphql.ts";
import { ask } from "./gateway.ts";

declare const process: { argv: [string, string, string] };
const key = process.argv[2];

const { startVisit } = await ask(VisitDocument, {}, key);
const { banners } = await ask(AskDocument, { placements: ["homepage-hero"], page: { type: "home" } }, key);
const decision = banners?.[0];
console.log(JSON.stringify({ token: startVisit?.token, reason: decision?.reason, headline: decision?.banner?.headline }));

/** A subscription is typed like all else. */
export const live: TypedDocumentString<LiveSubscription, LiveSubscriptionVariables> = LiveDocument;

/** The compiler finds it; nobody calls it. */
export async function mistakes() {
  // @ts-expect-error a required variable is missing
  await ask(AskDocument, {}, key);
}
