/** Calls that a page makes to GA4 or Segment, as events of ours; docs/event-names.md has the whole table of names. */
import type { EventType } from "../types.ts";

/** Each line: our name, then theirs. A name that differs from ours only in its spelling is not repeated. */
const NAMES = (
  "page_viewed page_view,products_searched search,product_list_viewed view_item_list,product_clicked select_item," +
  "product_viewed view_item,product_added add_to_cart,product_removed remove_from_cart,cart_updated view_cart cart_viewed," +
  "checkout_started begin_checkout,order_completed purchase,order_refunded refund"
).split(",");

type Fields = Record<string, any>;

/**
 * An event of GA4 (`gtag("event", name, …)`, the data layer's `ecommerce`) or Segment, as type and payload for `track`. A name without a
 * counterpart becomes CUSTOM.
 */
export const translate = (name: string, fields: Fields = {}): [type: EventType, payload: any] => {
  const isFor = (line: string): boolean => line.split(" ").includes(name.toLowerCase().replace(/ /g, "_"));
  const type = (NAMES.find(isFor) || "custom").split(" ")[0]!.toUpperCase();
  const { currency, items, products = items || [fields] } = fields;
  const ours = products.map((product: Fields) => ({
    productId: product.product_id || product.item_id,
    name: product.name || product.item_name,
    category: product.category || product.item_category,
    price: product.price,
    quantity: product.quantity,
    currency,
  }));
  const payload: Fields = { name, search: fields.query || fields.search_term };
  if (/^PRODUCT_[^L]/.test(type)) payload.product = ours[0];
  if (/^(CA|PRODUCT_L)/.test(type)) payload.products = ours;
  if (/^O/.test(type))
    payload.order = {
      orderId: fields.order_id || fields.transaction_id,
      value: fields.total || fields.value,
      currency,
      products: ours,
    };
  return [type as EventType, payload];
};
