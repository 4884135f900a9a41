/** Calls that a page makes to GA4 or Segment, as events of ours; docs/event-names.md has the whole table of names. */
import type { EventType } from "../types.ts";

/** Ours, then theirs; a name that is ours but for its spelling needs no second one. */
const NAMES =
  "page_viewed page_view,products_searched search,product_list_viewed view_item_list,product_clicked select_item,product_viewed view_item,product_added add_to_cart,product_removed remove_from_cart,cart_updated view_cart cart_viewed,checkout_started begin_checkout,order_completed purchase,order_refunded refund".split(",");

type Given = Record<string, any>;

/** An event of GA4 (`gtag("event", name, …)`, the data layer's `ecommerce`) or Segment as type and payload for `track`. A name without a counterpart becomes CUSTOM. */
export const translate = (name: string, given: Given = {}): [type: EventType, payload: any] => {
  const type = (NAMES.find((line) => line.split(" ").includes(name.toLowerCase().replace(/ /g, "_"))) || "custom").split(" ")[0]!.toUpperCase();
  const { currency, items, products = items || [given] } = given;
  const all = products.map((product: Given) => ({
    productId: product.product_id || product.item_id,
    name: product.name || product.item_name,
    category: product.category || product.item_category,
    price: product.price,
    quantity: product.quantity,
    currency,
  }));
  const payload: Given = { name, search: given.query || given.search_term };
  if (/^PRODUCT_[^L]/.test(type)) payload.product = all[0];
  if (/^(CA|PRODUCT_L)/.test(type)) payload.products = all;
  if (/^O/.test(type)) payload.order = { orderId: given.order_id || given.transaction_id, value: given.total || given.value, currency, products: all };
  return [type as EventType, payload];
};
