/** The classic script: the same functions, under the one global name `liveBanner`. */
import * as api from "./index.ts";

(globalThis as { liveBanner?: unknown }).liveBanner = api;
