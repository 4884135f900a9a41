/** Builds dist/: the core as module and classic script, its chunks, the stylesheet; `--sizes` prints what they weigh. */
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));
const { version, homepage } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
const document = readFileSync(`${root}src/snippet.graphql`, "utf8").trim();

const shared = {
  absWorkingDir: root,
  bundle: true,
  minify: true,
  sourcemap: true,
  target: "es2022",
  mangleProps: /^_/,
  legalComments: "none",
  external: ["./live-banner.*.js"],
  loader: { ".graphql": "text" },
  define: {
    __DOCUMENT_ID__: JSON.stringify(`sha256:${createHash("sha256").update(document).digest("hex")}`),
    __DOCS__: JSON.stringify(homepage),
  },
};

export const sizes = () =>
  readdirSync(`${root}dist`)
    .filter((name) => name.endsWith(".js"))
    .map((name) => [name, gzipSync(readFileSync(`${root}dist/${name}`), { level: 9 }).length]);

async function main() {
  rmSync(`${root}dist`, { recursive: true, force: true });
  mkdirSync(`${root}dist`);
  const chunks = readdirSync(`${root}src/chunks`).map((name) => ({ in: `src/chunks/${name}`, out: `live-banner.${name.replace(/\.ts$/, "")}` }));
  await build({ ...shared, format: "esm", outdir: "dist", entryPoints: [{ in: "src/index.ts", out: "live-banner" }, ...chunks] });
  await build({ ...shared, format: "iife", outfile: "dist/live-banner.classic.js", entryPoints: ["src/classic.ts"] });
  if (existsSync(`${root}src/live-banner.css`)) cpSync(`${root}src/live-banner.css`, `${root}dist/live-banner.css`);
}

if (process.argv.includes("--sizes")) console.log(JSON.stringify(Object.fromEntries(sizes())));
else await main(), console.table(Object.fromEntries(sizes()));
