export const metadata = { title: "Shop" };

export default function Layout({ children }) {
  return (
    <html lang="en">
      <head>
        <link rel="stylesheet" href="/static/live-banner.css" />
        <script type="module" async fetchPriority="low" src="/static/live-banner.js" />
      </head>
      <body>{children}</body>
    </html>
  );
}
