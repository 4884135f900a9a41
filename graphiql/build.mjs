/**
 * Builds dist/: the page, one script and one stylesheet with its fonts. Nothing is loaded from elsewhere.
 *
 * GraphiQL 3 and not a later one: its editor (CodeMirror 5) needs no web workers, and it is by far the smallest to install.
 */
import { cpSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));

rmSync(`${root}dist`, { recursive: true, force: true });
await build({
  absWorkingDir: root,
  entryPoints: [{ in: "src/main.jsx", out: "graphiql" }],
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  jsx: "automatic",
  loader: { ".graphql": "text" },
  define: { "process.env.NODE_ENV": '"production"' },
  legalComments: "none",
  logLevel: "warning",
});
cpSync(`${root}src/index.html`, `${root}dist/index.html`);
