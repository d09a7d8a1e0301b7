/**
 * The body as data: JSON, or a form.
 *
 * Most senders' bodies come here after their signature held. The exceptions sign what is inside the body, or
 * put the signature itself there (Gitea's forms, Twilio, Mailgun, Microsoft Graph).
 */
import { Refusal } from "../refusal.ts";

export function isForm(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/x-www-form-urlencoded\s*(;|$)/i.test(contentType);
}

export function formFields(body: Buffer): URLSearchParams {
  return new URLSearchParams(body.toString("utf8"));
}

/**
 * JSON, or a form whose field `payload` holds JSON (GitHub's "application/x-www-form-urlencoded"), or for some
 * senders the form's fields themselves. curl -d calls everything a form, so for the others a body under that
 * name which has no such field is taken for the JSON it most likely is.
 *
 * @throws Refusal 400 when it is none of these
 */
export function parsePayload(body: Buffer, contentType: string | undefined, hasFormFields: boolean): unknown {
  // RFC 8259 §8.1: JSON is UTF-8. An odd byte becomes U+FFFD: the signature held, so the event is not thrown away.
  const text = body.toString("utf8");
  let json = text;
  if (isForm(contentType) && (hasFormFields || /(^|&)payload=/.test(text))) {
    const fields = formFields(body);
    const payload = fields.get("payload");
    if (payload === null) return Object.fromEntries(fields);
    json = payload;
  }
  try {
    // RFC 8259 §8.1 again: a parser may ignore a byte order mark, and senders on Windows send one.
    return JSON.parse(json.charCodeAt(0) === 0xfeff ? json.slice(1) : json);
  } catch {
    // The parser's own message quotes the body, and a payload can hold secrets: only its size is told.
    throw new Refusal(
      "body-not-json",
      `${body.length} bytes of ${contentType ?? "no content type"} are not JSON`,
    );
  }
}
