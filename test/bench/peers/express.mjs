import express from "express";
import { isAuthentic } from "../servers/authentic.ts";

const app = express();
app.post("/webhook", express.raw({ type: "*/*", limit: "25mb" }), (request, response) => {
  if (!isAuthentic(request.body, request.get("x-hub-signature-256"))) return response.sendStatus(401);
  const payload = JSON.parse(request.body.toString());
  response.json({ received: payload !== null });
});
const server = app.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
