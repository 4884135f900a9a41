/** Public types of the snippet. The payload of each event type is as `EventInput` of schema.graphql asks for it. */

/** A whole number up to 2^53, or its text. */
export type BigInt53 = number | string;
/** An exact amount, such as `"19.90"`. */
export type Amount = number | string;
/** Any JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** A product; of all its fields only the id is required. */
export interface Product {
  productId: string;
  variantId?: string;
  sku?: string;
  category?: string;
  brand?: string;
  name?: string;
  price?: Amount;
  /** ISO 4217, such as EUR. */
  currency?: string;
  quantity?: BigInt53;
  url?: string;
  imageUrl?: string;
  position?: BigInt53;
  listId?: string;
}

/** An order. It counts once per `orderId`, whoever reports it; `value` needs a `currency`. */
export interface Order {
  orderId: string;
  value?: Amount;
  currency?: string;
  products?: Product[];
}

/** The page a visitor looks at; url, title, referrer and locale are filled in by the snippet. */
export interface Page {
  url?: string;
  title?: string;
  referrer?: string;
  locale?: string;
  type?: string;
  productId?: string;
  category?: string;
  currency?: string;
}

/** What every event may carry. */
export interface Common {
  /** Made by the snippet unless given; a repeated id counts once. */
  messageId?: string;
  /** RFC 3339; the moment of the call unless given. */
  timestamp?: string;
  sequence?: BigInt53;
  sessionId?: string;
  page?: Page;
  /** Free data of the shop; at most 4 KiB of JSON. */
  properties?: Json;
}

/** What the event types require beyond `Common`. */
export interface Payloads {
  PAGE_VIEWED: unknown;
  PRODUCTS_SEARCHED: { search: string };
  PRODUCT_LIST_VIEWED: { products?: Product[]; category?: string };
  PRODUCT_VIEWED: { product: Product };
  PRODUCT_CLICKED: { product: Product };
  PRODUCT_ADDED: { product: Product };
  PRODUCT_REMOVED: { product: Product };
  /** The whole cart; it replaces what was known of it. */
  CART_UPDATED: { products: Product[] };
  CHECKOUT_STARTED: { products?: Product[]; order?: Order };
  ORDER_COMPLETED: { order: Order };
  ORDER_REFUNDED: { order: Order };
  BANNER_VIEWED: { decisionId: string };
  BANNER_CLICKED: { decisionId: string };
  BANNER_DISMISSED: { decisionId: string };
  CUSTOM: { name: string };
}

export type EventType = keyof Payloads;
/** What `track` takes beside the type. */
export type Payload<T extends EventType> = Common & Payloads[T];
/** An event, told apart by `type`. */
export type Event = { [T in EventType]: { type: T } & Payload<T> }[EventType];

export interface Image {
  url: string;
  alt: string;
  width: number | null;
  height: number | null;
}

export interface RelatedProduct {
  productId: string;
  category: string | null;
}

export interface Banner {
  /** Equal ids, equal fields. */
  id: string;
  headline: string;
  body: string | null;
  linkUrl: string | null;
  ctaLabel: string | null;
  image: Image | null;
  products: RelatedProduct[];
  data: Json;
}

/** The banner for the visitor at a placement; `banner: null` means the page's own content. */
export interface Decision {
  id: string;
  placement: string;
  /** May grow: treat a value you do not know as DEFAULT. */
  reason: string;
  campaignId: string | null;
  variant: string | null;
  banner: Banner | null;
}

/** What `live-banner:viewed`, `live-banner:clicked` and `live-banner:dismissed` tell. */
export interface BannerDetail {
  placement: string;
  decisionId: string;
  bannerId?: string;
  campaignId?: string;
  variant?: string;
}

/** The same as the attributes of `<meta name="live-banner">`; what is given here wins. */
export interface Options {
  /** Address of the gateway's GraphQL endpoint. */
  endpoint?: string;
  /** Publishable key, `pk_…`. */
  key?: string;
  /** Gives a visitor token made by the shop's server; asked again before the token ends. */
  token?: () => Promise<string>;
  page?: Page;
  consent?: "granted" | "pending" | "denied";
  transport?: "sse" | "websocket";
  /** A preview token: shows what `createPreview` made it for. */
  preview?: string;
}

/** A related product as the page shows it. */
export interface ShownProduct {
  name: string;
  url?: string;
}

export interface Identity {
  /** Token of the known visitor, made by the shop's server; else the option `token` is asked. */
  token?: string;
  /** Only keys that the gateway's setting public_traits lists. */
  traits?: Record<string, Json>;
}

/** What the module exports, and what the classic script puts at `liveBanner`. */
export interface LiveBannerApi {
  configure(options: Options): void;
  track<T extends EventType>(type: T, ...payload: unknown extends Payloads[T] ? [payload?: Payload<T>] : [payload: Payload<T>]): void;
  identify(identity?: Identity): Promise<void>;
  setConsent(personalization: boolean, measurement?: boolean): Promise<void>;
  reset(): Promise<void>;
}

declare global {
  interface HTMLElementEventMap {
    /** Before a banner is swapped; `preventDefault()` leaves the swap to you. */
    "live-banner:change": CustomEvent<Decision>;
    "live-banner:viewed": CustomEvent<BannerDetail>;
    "live-banner:clicked": CustomEvent<BannerDetail>;
    "live-banner:dismissed": CustomEvent<BannerDetail>;
  }
}
