/**
 * The gateway as a page's server uses it: banners within a deadline, and the two cookies that server and snippet share. No
 * dependencies. As the client for Python: what the gateway or the network may do never becomes an error of the page; it is one
 * line in the log, without a credential.
 */
import { createHash } from "node:crypto";

export const TOKEN_COOKIE = "visitor_token";
/** Set by the snippet: the log position of the visitor's last event, so that the next page knows it. */
export const CURSOR_COOKIE = "visitor_cursor";

/** As long as the gateway renews a token after its end (its setting visitor_renewal_days). */
export const TOKEN_COOKIE_S = 30 * 24 * 3600;
const RENEW_BEFORE_END_S = 600;
/** Kept of the deadline for the way to the gateway and back while it waits for a cursor to be covered. */
const COVER_MARGIN_MS = 50;
/** How a connection ends that the gateway closed while it was idle. */
const CUT = ["UND_ERR_SOCKET", "ECONNRESET", "EPIPE"];
/** A gateway that runs only known documents identifies them by their SHA-256. They are those of the client for Python. */
const START_VISIT = `mutation StartVisit($token: String) {
  startVisit(token: $token) { anonymousId token expiresAt serverTime }
}`;
const BANNERS = `query Banners($placements: [ID!]!, $userId: ID, $page: PageInput, $after: Cursor, $maxWaitMs: Int!, $previewToken: String) {
  banners(placements: $placements, userId: $userId, page: $page, after: $after, maxWaitMs: $maxWaitMs, previewToken: $previewToken) {
    ...Decision
  }
}

fragment Decision on BannerDecision {
  id
  placement
  reason
  campaignId
  variant
  rulesetVersion
  contextVersion
  cursor
  fresh
  decidedAt
  validUntil
  banner {
    id
    headline
    body
    linkUrl
    ctaLabel
    locale
    data
    image { url alt width height }
    products { productId category }
  }
}`;

/** No answer that can be used; `code` is one word for the log. */
class GatewayError extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

export class Gateway {
  #endpoint;
  #publishableKey;
  #deadlineMs;

  /** `endpoint`: the GraphQL address. `deadlineMs` bounds all that one page waits for. */
  constructor(endpoint, publishableKey, { deadlineMs = 150 } = {}) {
    this.#endpoint = endpoint;
    this.#publishableKey = publishableKey;
    this.#deadlineMs = deadlineMs;
  }

  /**
   * All that a page needs, given its cookies as they came: the visitor, started, renewed or healed (`started`: a new token that
   * belongs into the cookie), and the decisions by placement. A placement without one shows the page's own content.
   */
  async personalize(placements, { token, after, page } = {}) {
    const deadline = { signal: AbortSignal.timeout(this.#deadlineMs), atMs: performance.now() + this.#deadlineMs };
    let visitor = await this.#visitor(readToken(token), deadline);
    const nothing = { ...visitor, decisions: {} };
    if (!visitor.token || !placements.length) return nothing;
    try {
      return { ...visitor, decisions: await this.#banners(visitor.token, { placements, page, after: readCursor(after) }, deadline) };
    } catch (problem) {
      if (visitor.started || problem.code !== "UNAUTHENTICATED") return note("banner", problem, nothing);
    }
    // A token that is not what it seems: a new visitor, of whom no event is known.
    visitor = await this.#visitor(undefined, deadline);
    if (!visitor.token) return { decisions: {} };
    const decisions = await this.#banners(visitor.token, { placements, page }, deadline).catch((problem) => note("banner", problem, {}));
    return { ...visitor, decisions };
  }

  /** A token that holds now, and what is new. A gateway in trouble never costs a visitor: the old token is used while it holds. */
  async #visitor(token, deadline) {
    const { exp = 0, by } = claims(token);
    const remainingS = exp - Date.now() / 1000;
    // A known user's token, which the shop signed, is the shop's to renew.
    if (remainingS > (by === "startVisit" ? RENEW_BEFORE_END_S : 0)) return { token };
    try {
      const started = await this.#startVisit(token, deadline);
      return { token: started.token, started };
    } catch (problem) {
      return note("startVisit", problem, remainingS > 0 ? { token } : {});
    }
  }

  async #startVisit(token, deadline) {
    try {
      return visitOf(await this.#send("StartVisit", START_VISIT, { token }, this.#publishableKey, deadline));
    } catch (problem) {
      if (!token || !["UNAUTHENTICATED", "FORBIDDEN", "BAD_USER_INPUT"].includes(problem.code)) throw problem;
    }
    return visitOf(await this.#send("StartVisit", START_VISIT, {}, this.#publishableKey, deadline));
  }

  async #banners(token, asked, deadline) {
    const maxWaitMs = asked.after ? Math.max(0, Math.floor(deadline.atMs - performance.now()) - COVER_MARGIN_MS) : 0;
    try {
      return decisionsOf(await this.#send("Banners", BANNERS, { ...asked, maxWaitMs }, token, deadline));
    } catch (problem) {
      if (!asked.after || problem.code !== "BAD_USER_INPUT") throw problem;
    }
    // The cursor comes from a cookie, so it may be anything; the banner does not depend on it.
    return this.#banners(token, { ...asked, after: undefined }, deadline);
  }

  /** What the operation's only field holds. Throws GatewayError. */
  async #send(operationName, query, variables, bearer, { signal }) {
    const documentId = `sha256:${createHash("sha256").update(query).digest("hex")}`;
    const headers = { authorization: `Bearer ${bearer}`, accept: "application/json", "content-type": "application/json" };
    const body = JSON.stringify({ operationName, documentId, query, variables });
    const request = { method: "POST", redirect: "error", headers, body, signal };
    try {
      // Every call may be sent twice: one more try, on a new connection.
      const again = (problem) => (CUT.includes(problem.cause?.code) ? fetch(this.#endpoint, request) : Promise.reject(problem));
      const { data, errors } = await (await fetch(this.#endpoint, request).catch(again)).json();
      const found = data && Object.values(data)[0];
      if (!found) throw new GatewayError(errors?.[0]?.extensions?.code ?? "unusable answer");
      return found;
    } catch (problem) {
      if (problem instanceof GatewayError) throw problem;
      throw new GatewayError(signal.aborted ? "too late" : (problem.cause?.code ?? problem.name));
    }
  }
}

/** A `Set-Cookie` that keeps a visitor's token. Scripts can read it, for the snippet sends it to the gateway. */
export const tokenCookie = (token, isSecure) =>
  `${TOKEN_COOKIE}=${token}; Max-Age=${TOKEN_COOKIE_S}; Path=/; SameSite=Lax${isSecure ? "; Secure" : ""}`;

/** The cookies of a request's `Cookie` header, by name. */
export const cookiesOf = (header = "") => Object.fromEntries(header.split(/; */).map((pair) => pair.split(/=(.*)/s, 2)));

const TOKEN = /^[\w-]{1,2048}\.[\w-]{1,4096}\.[\w-]{1,1024}$/;
const CURSOR = /^[\w.~=+/-]{1,2048}$/;
const readToken = (cookie) => (TOKEN.test(cookie) && claims(cookie).exp ? cookie : undefined);
const readCursor = (cookie) => (CURSOR.test(cookie ?? "") ? cookie : undefined);

/** What a token says of itself. Read without proof: the gateway checks the signature. */
function claims(token = "..") {
  try {
    const { exp, by } = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
    return { exp: Number(exp) || 0, by };
  } catch {
    return {};
  }
}

const isText = (value) => typeof value === "string";
const isTextOrNull = (value) => value == null || isText(value);
const usable = (found, isUsable) => {
  if (!isUsable) throw new GatewayError("unusable answer");
  return found;
};
const visitOf = (found) => usable(found, readToken(found.token));
const decisionsOf = (found) =>
  Object.fromEntries(usable(found, Array.isArray(found) && found.every(isDecision)).map((decision) => [decision.placement, decision]));

/** Enums may grow: whatever the reason is, it takes nothing from the banner. */
function isDecision(found) {
  const { id, placement, campaignId, variant, banner } = found ?? {};
  const { id: bannerId, headline, body, linkUrl, ctaLabel, image } = banner ?? { id: "", headline: "" };
  return (
    [id, placement, bannerId, headline].every(isText) &&
    [campaignId, variant, body, linkUrl, ctaLabel].every(isTextOrNull) &&
    (image == null || (isText(image.url) && isText(image.alt)))
  );
}

function note(part, problem, otherwise) {
  if (!(problem instanceof GatewayError)) throw problem;
  console.warn(`The gateway gave no answer to ${part}: ${problem.code}`);
  return otherwise;
}
