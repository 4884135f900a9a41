/** Related products below a banner. */
import { element } from "./render.ts";
import type { Decision, RelatedProduct, ShownProduct } from "../types.ts";

/** From now on every swapped banner shows its products as links; `describe` gives what is shown of one, or nothing. */
export const showProducts = (describe: (product: RelatedProduct) => ShownProduct | null | undefined): void =>
  addEventListener("live-banner:change", (event) => {
    // The swap follows this event.
    setTimeout(() => !event.defaultPrevented &&
      (event.target as Element).append(
        ...((event as CustomEvent<Decision>).detail.banner?.products || [])
          .map(describe)
          .filter((shown) => shown)
          .map((shown) => element("a", "product", shown!.name, shown!.url && { href: shown!.url })),
      ),
    );
  });
