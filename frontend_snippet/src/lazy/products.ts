/** Related products below a banner. */
import { element } from "./render.ts";
import type { Decision, RelatedProduct, ShownProduct } from "../types.ts";

/** Show the products of every banner that is swapped from now on, as links. `describe` returns what to show of one, or nothing. */
export const showProducts = (describe: (product: RelatedProduct) => ShownProduct | null | undefined): void =>
  addEventListener("live-banner:change", (event) => {
    // The swap follows this event.
    setTimeout(() => !event.defaultPrevented &&
      (event.target as Element).append(
        ...((event as CustomEvent<Decision>).detail.banner?.products || [])
          .map(describe)
          .filter((product) => product)
          .map((product) => element("a", "product", product!.name, product!.url && { href: product!.url })),
      ),
    );
  });
