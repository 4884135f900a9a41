/** Starts the Chromium that the package @sparticuz/chromium carries, or the one that CHROMIUM names. */
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
/** These switch off what the tests check, or are for a machine without processes. */
const UNWANTED = ["--disable-web-security", "--allow-running-insecure-content", "--single-process", "--headless='shell'"];

export async function launch() {
  const { chromium: playwright } = require("playwright-core");
  if (process.env.CHROMIUM) return playwright.launch({ executablePath: process.env.CHROMIUM });
  // These make the package unpack its libraries too, and set the folder.
  process.env.AWS_LAMBDA_JS_RUNTIME ??= `nodejs${process.versions.node.split(".")[0]}.x`;
  const folder = (process.env.TMPDIR = fileURLToPath(new URL("node_modules/.cache/chromium/", import.meta.url)));
  mkdirSync(folder, { recursive: true });
  // The package's own configuration of fonts is valid for /tmp only; without a font no text has a height.
  process.env.FONTCONFIG_FILE = `${folder}fonts.conf`;
  writeFileSync(process.env.FONTCONFIG_FILE, `<fontconfig><dir>${folder}fonts</dir><cachedir>${folder}fonts-cache</cachedir></fontconfig>`);
  const { default: chromium } = await import(require.resolve("@sparticuz/chromium"));
  const args = chromium.args.filter((argument) => !UNWANTED.includes(argument));
  return playwright.launch({ executablePath: await chromium.executablePath(), args });
}
