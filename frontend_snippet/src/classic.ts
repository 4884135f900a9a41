/** The classic script: the same, at the one global name `liveBanner`. */
import * as api from "./index.ts";

(globalThis as { liveBanner?: unknown }).liveBanner = api;
