/** Related products below a banner. */
import type { Decision, RelatedProduct, ShownProduct } from "../types.ts";

/** From now on every swapped banner shows its products as links; `describe` gives what is shown of one, or nothing. */
export const showProducts = (describe: (product: RelatedProduct) => ShownProduct | null | undefined): void =>
  addEventListener("live-banner:change", (event) => {
    const { detail, target } = event as CustomEvent<Decision>;
    // The swap follows this event.
    setTimeout(() => !event.defaultPrevented &&
      (target as Element).append(
        ...(detail.banner?.products || []).map((product) => {
          const shown = describe(product);
          return shown ? Object.assign(document.createElement("a"), { className: "lb-product", textContent: shown.name, ...(shown.url && { href: shown.url }) }) : "";
        }),
      ),
    );
  });
