import { createServer } from "node:http";
import { createNodeMiddleware, Webhooks } from "@octokit/webhooks";
import { secret } from "../servers/authentic.ts";

// It verifies and parses by itself. Its own log would write a line for each refused delivery only.
const webhooks = new Webhooks({ secret });
const server = createServer(createNodeMiddleware(webhooks, { path: "/webhook" }));
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
