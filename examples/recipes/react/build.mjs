/** Builds dist/: the page for the server, and the script that hydrates it in the browser. */
import { build } from "esbuild";

const shared = {
  absWorkingDir: import.meta.dirname,
  bundle: true,
  format: "esm",
  jsx: "automatic",
  external: ["/static/*"],
  define: { "process.env.NODE_ENV": JSON.stringify(process.env.NODE_ENV ?? "production") },
};

await build({ ...shared, entryPoints: ["App.jsx"], outfile: "dist/App.mjs", platform: "node", packages: "external" });
await build({ ...shared, entryPoints: ["client.jsx"], outfile: "dist/client.js", minify: true });
