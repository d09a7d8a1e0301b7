import type { Sender } from "./sender.ts";

/** https://developers.docusign.com/platform/webhooks/connect/hmac */
export const docusign: Sender = {
  name: "docusign",
  title: "DocuSign Connect",
  secretAt: "Admin, Connect, Connect Keys: Add Secret Key",
  // Not base64-decoded.
  key: "text",
  schemes: [
    {
      algorithm: "hmac-sha256",
      // X-DocuSign-Signature-1, -2, …: one header for each key of the account; any of them will do.
      signature: "x-docusign-signature-*",
      encoding: "base64",
      signed: "{body}",
      time: null,
    },
  ],
  // `envelope-completed`. Choose JSON: the legacy XML is not read. Documents inside make bodies of many MB.
  event: ["field:event"],
  // An envelope's id names the envelope, not the delivery.
  id: [],
  answerWithinSeconds: null,
  retries: "unknown",
};
