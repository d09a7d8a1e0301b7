import Fastify from "fastify";
import { isAuthentic } from "../servers/authentic.ts";

const app = Fastify({ bodyLimit: 25 * 1024 * 1024 });
app.addContentTypeParser("application/json", { parseAs: "buffer" }, (_request, body, done) =>
  done(null, body),
);
app.post("/webhook", (request, reply) => {
  if (!isAuthentic(request.body, request.headers["x-hub-signature-256"])) return reply.code(401).send();
  const payload = JSON.parse(request.body.toString());
  reply.send({ received: payload !== null });
});
console.log(await app.listen({ port: 0, host: "127.0.0.1" }));
