import { Suspense, useCallback, useState } from "react";

import { LiveBanner } from "./LiveBanner.jsx";

/** The page. `banner`: the HTML of the banner, the same on the server and in the browser. */
export function App({ banner }) {
  const [cart, setCart] = useState(0);
  const [changes, setChanges] = useState(0);
  const onChange = useCallback(() => setChanges((before) => before + 1), []);
  async function add() {
    setCart(cart + 1);
    const { track } = await import("/static/live-banner.js");
    track("PRODUCT_ADDED", { product: { productId: "p1", category: "smartphones" } });
  }
  return (
    <main>
      <Suspense>
        <LiveBanner html={banner} onChange={onChange} />
      </Suspense>
      <button onClick={add}>Add a phone</button>
      <p>
        In the cart: <output>{cart}</output>. Banners since: <output>{changes}</output>.
      </p>
    </main>
  );
}
