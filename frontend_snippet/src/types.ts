/** Public types of the snippet. Each event type requires of its payload what `EventInput` of schema.graphql requires. */

/** An integer up to 2^53, or a string of one. */
export type BigInt53 = number | string;
/** An exact decimal amount, such as `"19.90"`. */
export type Amount = number | string;
/** Any JSON value. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };

/** A product; only its id is required. */
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

/** An order. It counts once per `orderId`, even if the page and a server both report it; `value` needs a `currency`. */
export interface Order {
  orderId: string;
  value?: Amount;
  currency?: string;
  products?: Product[];
}

/** The page that a visitor looks at; the snippet fills in url, title, referrer and locale. */
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
  /** By default the snippet makes one. An event counts once per id. */
  messageId?: string;
  /** RFC 3339; by default the time of the call. */
  timestamp?: string;
  sequence?: BigInt53;
  sessionId?: string;
  page?: Page;
  /** Any data of the shop; at most 4 KiB of JSON. */
  properties?: Json;
}

/** What each event type requires in addition to `Common`. */
export interface Payloads {
  PAGE_VIEWED: unknown;
  PRODUCTS_SEARCHED: { search: string };
  PRODUCT_LIST_VIEWED: { products?: Product[]; category?: string };
  PRODUCT_VIEWED: { product: Product };
  PRODUCT_CLICKED: { product: Product };
  PRODUCT_ADDED: { product: Product };
  PRODUCT_REMOVED: { product: Product };
  /** The whole cart; it replaces the cart that the gateway knew. */
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
/** The second parameter of `track`. */
export type Payload<T extends EventType> = Common & Payloads[T];
/** An event: a union discriminated by `type`. */
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
  /** Banners with the same id have the same fields. */
  id: string;
  headline: string;
  body: string | null;
  linkUrl: string | null;
  ctaLabel: string | null;
  image: Image | null;
  products: RelatedProduct[];
  data: Json;
}

/** The banner for the visitor in a placement; `banner: null` means the page's own content. */
export interface Decision {
  id: string;
  placement: string;
  /** There may be new values: treat one that you do not know as DEFAULT. */
  reason: string;
  campaignId: string | null;
  variant: string | null;
  banner: Banner | null;
}

/** `detail` of `live-banner:viewed`, `live-banner:clicked` and `live-banner:dismissed`. */
export interface BannerDetail {
  placement: string;
  decisionId: string;
  bannerId?: string;
  campaignId?: string;
  variant?: string;
}

/** The same options as the attributes of `<meta name="live-banner">`; those set here take precedence. */
export interface Options {
  /** Address of the gateway's GraphQL endpoint. */
  endpoint?: string;
  /** Publishable key, `pk_…`. */
  key?: string;
  /** Returns a visitor token that the shop's server made; called again before the token expires. */
  token?: () => Promise<string>;
  page?: Page;
  consent?: "granted" | "pending" | "denied";
  transport?: "sse" | "websocket";
  /** A preview token of `createPreview`: the page shows what that preview shows. */
  preview?: string;
}

/** A related product as the page shows it. */
export interface ShownProduct {
  name: string;
  url?: string;
}

export interface Identity {
  /** Token of the known visitor, made by the shop's server; by default that of the option `token`. */
  token?: string;
  /** Only keys in the gateway's setting `public_traits`. */
  traits?: Record<string, Json>;
}

/** What the module exports, and what the classic script defines as `liveBanner`. */
export interface LiveBannerApi {
  /** Set options; they are valid from the next request on. */
  configure(options: Options): void;
  /** Report an event. It is sent as soon as possible, and again until the gateway has it. */
  track<T extends EventType>(type: T, ...payload: unknown extends Payloads[T] ? [payload?: Payload<T>] : [payload: Payload<T>]): void;
  /** After a login: what the anonymous visitor did becomes the user's. Resolves when the change is made here and is on its way. */
  identify(identity?: Identity): Promise<void>;
  /** The visitor's answer about consent. `setConsent(false)` rejects if the gateway did not hear of it. */
  setConsent(personalization: boolean, measurement?: boolean): Promise<void>;
  /** At logout: a new visit, in all tabs. Takes effect at once. */
  reset(): Promise<void>;
}

declare global {
  interface HTMLElementEventMap {
    /** Before a banner is swapped; `preventDefault()` leaves the swap to you. */
    "live-banner:change": CustomEvent<Decision>;
    /** Half of the banner was visible for one second; once per decision. */
    "live-banner:viewed": CustomEvent<BannerDetail>;
    /** A link in the banner was clicked. */
    "live-banner:clicked": CustomEvent<BannerDetail>;
    /** The close button was clicked; the banner is hidden. */
    "live-banner:dismissed": CustomEvent<BannerDetail>;
  }
}
