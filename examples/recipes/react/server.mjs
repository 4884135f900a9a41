/** Server rendering with React: node build.mjs, then start it like the Express recipe. */
import { fileURLToPath } from "node:url";

import express from "express";
import { createElement } from "react";
import { renderToString } from "react-dom/server";

import { createShop, listen } from "../express/shop.mjs";
import { App } from "./dist/App.mjs";

const page = ({ head, banner }) => `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8"><title>Shop</title>
  ${head}
  <script type="module" src="/assets/client.js"></script>
</head>
<body>
  <div id="root">${renderToString(createElement(App, { banner }))}</div>
  <script type="application/json" id="properties">${JSON.stringify({ banner }).replaceAll("<", "\\u003c")}</script>
</body>
</html>
`;

listen(createShop(page).use("/assets", express.static(fileURLToPath(new URL("dist", import.meta.url)))));
