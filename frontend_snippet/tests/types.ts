/** A page's code against the published types: what is right compiles, what is wrong does not. */
import { configure, identify, reset, setConsent, track } from "personalization-gateway-snippet";
import type { Decision, Event } from "personalization-gateway-snippet";

configure({ endpoint: "/graphql", key: "pk_live_1", token: async () => "…", page: { type: "home" } });
track("PAGE_VIEWED");
track("PRODUCT_ADDED", { product: { productId: "p1", category: "smartphones", price: "99.00", currency: "EUR" } });
track("ORDER_COMPLETED", { order: { orderId: "o1", value: 99, currency: "EUR" }, properties: { gift: true } });
void identify({ token: "…", traits: { tier: "gold" } }).then(reset);
void setConsent(true, false);
// @ts-expect-error a product is required
track("PRODUCT_ADDED");
// @ts-expect-error … with its id
track("PRODUCT_VIEWED", { product: { category: "smartphones" } });
// @ts-expect-error there is no such event
track("PRODUCT_EATEN", {});
// @ts-expect-error there is no such option
configure({ transprot: "sse" });

/** The union is discriminated by `type`. */
export function nameOf(event: Event): string {
  switch (event.type) {
    case "CUSTOM":
      return event.name;
    case "PRODUCTS_SEARCHED":
      return event.search;
    default:
      return event.type;
  }
}

const banner = document.querySelector("live-banner");
banner?.addEventListener("live-banner:change" as never, ((event: CustomEvent<Decision>) => event.detail.banner?.headline) as never);
