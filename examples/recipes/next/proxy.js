/** Before a page: start or renew the visitor. A page cannot set cookies while it renders; this can, and the page sees them. */
import { NextResponse } from "next/server";

import { TOKEN_COOKIE, TOKEN_COOKIE_S } from "../gateway.mjs";
import { gateway } from "./gateway.js";

export async function proxy(request) {
  const { started } = await gateway.personalize([], { token: request.cookies.get(TOKEN_COOKIE)?.value });
  const response = NextResponse.next();
  const secure = request.nextUrl.protocol === "https:";
  if (started) response.cookies.set(TOKEN_COOKIE, started.token, { maxAge: TOKEN_COOKIE_S, path: "/", sameSite: "lax", secure });
  return response;
}

export const config = { matcher: "/" };
