/** Builds dist/: the core as module and classic script, the chunk, the stylesheet; `--sizes` prints their bytes after gzip. */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";
import { minify } from "terser";

const root = fileURLToPath(new URL(".", import.meta.url));
const NAMES = `${root}names.json`;
const { homepage } = JSON.parse(readFileSync(`${root}package.json`, "utf8"));
const document = readFileSync(`${root}src/snippet.graphql`, "utf8").trim();

const shared = {
  absWorkingDir: root,
  bundle: true,
  minifySyntax: true,
  write: false,
  sourcemap: "external",
  target: "es2022",
  mangleProps: /^_/,
  legalComments: "none",
  define: {
    __DOCUMENT_ID__: JSON.stringify(`sha256:${createHash("sha256").update(document).digest("hex")}`),
    __DOCS__: JSON.stringify(process.env.LIVE_BANNER_DOCS ?? homepage),
  },
};

export const sizes = () =>
  readdirSync(`${root}dist`)
    .filter((name) => name.endsWith(".js"))
    .map((name) => [name, gzipSync(readFileSync(`${root}dist/${name}`), { level: 9 }).length]);

const COMPRESS = {
  passes: 4, inline: 1, hoist_funs: true, pure_getters: true, unsafe: true, unsafe_arrows: true, unsafe_methods: true,
};

/**
 * Makes the output of esbuild smaller: terser also inlines what is used once. Names are shortened in a pass of their own, which then
 * counts the letters of the final code. Together that saves two hundred bytes.
 */
async function write({ outputFiles }) {
  const texts = Object.fromEntries(outputFiles.map(({ path, text }) => [basename(path), text]));
  for (const name in texts) {
    if (!name.endsWith(".js")) continue;
    let [code, map] = [texts[name], texts[`${name}.map`]];
    for (const step of [{ compress: COMPRESS, mangle: false }, { compress: false, mangle: true }])
      ({ code, map } = await minify(code, {
        module: !name.includes("classic"),
        ecma: 2020,
        sourceMap: { content: map, filename: name },
        ...step,
      }));
    writeFileSync(`${root}dist/${name}`, code);
    writeFileSync(`${root}dist/${name}.map`, map);
  }
}

async function main() {
  rmSync(`${root}dist`, { recursive: true, force: true });
  mkdirSync(`${root}dist`);
  const entryPoints = [
    { in: "src/index.ts", out: "live-banner" },
    { in: "src/lazy/index.ts", out: "live-banner.more" },
  ];
  const modules = { ...shared, format: "esm", outdir: "dist", entryPoints };
  // The core hands its parts to the chunk under these names. They stay the same from release to release: a page that is open while
  // a new release is put in place has the old core and may load the new chunk. A first run adds new names.
  const { mangleCache } = await build({ ...modules, mangleCache: JSON.parse(readFileSync(NAMES, "utf8")) });
  writeFileSync(NAMES, JSON.stringify(mangleCache, null, 2) + "\n");
  await write(await build({ ...modules, mangleCache }));
  const classic = { format: "iife", outfile: "dist/live-banner.classic.js", entryPoints: ["src/classic.ts"] };
  await write(await build({ ...shared, mangleCache, ...classic }));
  writeFileSync(`${root}dist/live-banner.graphql`, document);
  cpSync(`${root}styles/live-banner.css`, `${root}dist/live-banner.css`);
}

if (process.argv.includes("--sizes")) console.log(JSON.stringify(Object.fromEntries(sizes())));
else {
  await main();
  console.table(Object.fromEntries(sizes()));
}
