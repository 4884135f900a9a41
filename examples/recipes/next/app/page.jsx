import { cookies } from "next/headers";

import { renderBanner } from "../../banner.mjs";
import { CURSOR_COOKIE, TOKEN_COOKIE } from "../../gateway.mjs";
import { LiveBanner } from "../../react/LiveBanner.jsx";
import { gateway } from "../gateway.js";
import { AddButton } from "./AddButton.jsx";

/** Reads cookies, so Next renders it for each request and sends it as `private, no-store`. */
export default async function Home() {
  const jar = await cookies();
  const [token, after] = [TOKEN_COOKIE, CURSOR_COOKIE].map((name) => jar.get(name)?.value);
  const page = { type: "home" };
  // Without a token the gateway was unavailable a moment ago.
  const { decisions } = token ? await gateway.personalize(["homepage-hero"], { token, after, page }) : { decisions: {} };
  const banner = renderBanner(decisions["homepage-hero"], { placement: "homepage-hero", ownHtml: "<h2>Welcome</h2>" });
  return (
    <main>
      <meta name="live-banner" content="/graphql" data-key={process.env.PUBLISHABLE_KEY} data-page={JSON.stringify(page)} />
      <LiveBanner html={banner} />
      <AddButton />
      <p>
        Rendered at <time>{new Date().toISOString()}</time>.
      </p>
    </main>
  );
}
