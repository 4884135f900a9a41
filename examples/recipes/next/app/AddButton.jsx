"use client";
import { useRouter } from "next/navigation";
import { useState } from "react";

export function AddButton() {
  const router = useRouter();
  const [cart, setCart] = useState(0);
  async function add() {
    setCart(cart + 1);
    const { track } = await import(/* webpackIgnore: true */ "/static/live-banner.js");
    track("PRODUCT_ADDED", { product: { productId: "p1", category: "smartphones" } });
    // The server renders the rest of the page again; the banner is the snippet's.
    router.refresh();
  }
  return (
    <>
      <button onClick={add}>Add a phone</button>
      <p>
        In the cart: <output>{cart}</output>.
      </p>
    </>
  );
}
