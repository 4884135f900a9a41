/** Bundles what a page would import from each peer, as the snippet is bundled; prints {"name version": bytes after gzip -9}. */
import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const PEERS = {
  "graphql-ws": "export { createClient } from 'graphql-ws'",
  "graphql-sse": "export { createClient } from 'graphql-sse'",
  "@openfeature/web-sdk": "export { OpenFeature } from '@openfeature/web-sdk'",
  "@urql/core": "export { Client, cacheExchange, fetchExchange, gql } from '@urql/core'",
  "@growthbook/growthbook": "export { GrowthBook } from '@growthbook/growthbook'",
  "@snowplow/browser-tracker": "export { newTracker, trackPageView, trackSelfDescribingEvent } from '@snowplow/browser-tracker'",
  "@optimizely/optimizely-sdk": "export { createInstance, createPollingProjectConfigManager, createBatchEventProcessor } from '@optimizely/optimizely-sdk'",
  "@rudderstack/analytics-js": "export { RudderAnalytics } from '@rudderstack/analytics-js'",
  "launchdarkly-js-client-sdk": "export { initialize } from 'launchdarkly-js-client-sdk'",
  "@segment/analytics-next": "export { AnalyticsBrowser } from '@segment/analytics-next'",
  "posthog-js": "import posthog from 'posthog-js'; export default posthog",
};

const versionOf = (name) => JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), "utf8")).version;

const sizes = {};
for (const [name, contents] of Object.entries(PEERS)) {
  const options = { bundle: true, minify: true, format: "esm", target: "es2022", platform: "browser", legalComments: "none", write: false };
  const { outputFiles } = await build({ ...options, logLevel: "error", stdin: { contents, resolveDir: import.meta.dirname } });
  sizes[`${name} ${versionOf(name)}`] = gzipSync(outputFiles[0].contents, { level: 9 }).length;
}
console.log(JSON.stringify(sizes));
