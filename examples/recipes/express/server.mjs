/** Server rendering with Express: GATEWAY_URL=http://gateway:8000/graphql PUBLISHABLE_KEY=pk_live_… node server.mjs */
import { createShop, listen } from "./shop.mjs";

const page = ({ head, banner }) => `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8"><title>Shop</title>
  ${head}
</head>
<body>${banner}</body>
</html>
`;

listen(createShop(page));
