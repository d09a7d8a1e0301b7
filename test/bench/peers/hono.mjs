import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { isAuthentic } from "../servers/authentic.ts";

const app = new Hono();
app.post("/webhook", async (context) => {
  const body = Buffer.from(await context.req.arrayBuffer());
  if (!isAuthentic(body, context.req.header("x-hub-signature-256"))) return context.body(null, 401);
  const payload = JSON.parse(body.toString());
  return context.json({ received: payload !== null });
});
serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) =>
  console.log(`http://127.0.0.1:${port}`),
);
