/** Builds dist/: the page for the server, and the script that hydrates it in the browser. With Vite, use @vitejs/plugin-vue. */
import { readFile } from "node:fs/promises";

import { build } from "esbuild";
import { compileScript, parse } from "vue/compiler-sfc";

/** Single-file components. */
const components = (ssr) => ({
  name: "vue",
  setup({ onLoad }) {
    onLoad({ filter: /\.vue$/ }, async ({ path }) => {
      const { descriptor } = parse(await readFile(path, "utf8"), { filename: path });
      return { contents: compileScript(descriptor, { id: path, inlineTemplate: true, templateOptions: { ssr, ssrCssVars: [] } }).content };
    });
  },
});

const shared = {
  absWorkingDir: import.meta.dirname,
  bundle: true,
  format: "esm",
  external: ["/static/*"],
  define: {
    "process.env.NODE_ENV": JSON.stringify(process.env.NODE_ENV ?? "production"),
    __VUE_OPTIONS_API__: "false",
    __VUE_PROD_DEVTOOLS__: "false",
    __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false",
  },
};

const server = { entryPoints: ["App.vue"], outfile: "dist/App.mjs", platform: "node", packages: "external", plugins: [components(true)] };
const browser = { entryPoints: ["client.mjs"], outfile: "dist/client.js", minify: true, plugins: [components(false)] };

await build({ ...shared, ...server });
await build({ ...shared, ...browser });
