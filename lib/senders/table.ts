/** The senders this receiver knows. How to add one is written above the type in `sender.ts`. */
import { bitbucket } from "./bitbucket.ts";
import { calendly } from "./calendly.ts";
import { decnet } from "./decnet.ts";
import { discord } from "./discord.ts";
import { docusign } from "./docusign.ts";
import { dropbox } from "./dropbox.ts";
import { forgejo } from "./forgejo.ts";
import { gitea } from "./gitea.ts";
import { github } from "./github.ts";
import { gitlabSigning } from "./gitlab-signing.ts";
import { gitlabToken } from "./gitlab-token.ts";
import { gogs } from "./gogs.ts";
import { hubspot } from "./hubspot.ts";
import { intercom } from "./intercom.ts";
import { jira } from "./jira.ts";
import { linear } from "./linear.ts";
import { mailgun } from "./mailgun.ts";
import { messaging } from "./messaging.ts";
import { meta } from "./meta.ts";
import { microsoftGraph } from "./microsoft-graph.ts";
import { paddle } from "./paddle.ts";
import { pagerduty } from "./pagerduty.ts";
import type { Sender } from "./sender.ts";
import { sendgrid } from "./sendgrid.ts";
import { sentry } from "./sentry.ts";
import { shopify } from "./shopify.ts";
import { slack } from "./slack.ts";
import { square } from "./square.ts";
import { standardWebhooks } from "./standard-webhooks.ts";
import { standardWebhooksV1a } from "./standard-webhooks-v1a.ts";
import { stripe } from "./stripe.ts";
import { svix } from "./svix.ts";
import { telegram } from "./telegram.ts";
import { twilio } from "./twilio.ts";
import { typeform } from "./typeform.ts";
import { vercel } from "./vercel.ts";
import { zoom } from "./zoom.ts";

export const senders: readonly Sender[] = [
  bitbucket,
  calendly,
  decnet,
  discord,
  docusign,
  dropbox,
  forgejo,
  gitea,
  github,
  gitlabSigning,
  gitlabToken,
  gogs,
  hubspot,
  intercom,
  jira,
  linear,
  mailgun,
  messaging,
  meta,
  microsoftGraph,
  paddle,
  pagerduty,
  sendgrid,
  sentry,
  shopify,
  slack,
  square,
  standardWebhooks,
  standardWebhooksV1a,
  stripe,
  svix,
  telegram,
  twilio,
  typeform,
  vercel,
  zoom,
];

/**
 * The senders of the default path `/webhook`. One path may serve these three, because all of them sign exactly
 * the same bytes (the raw body) with the same key and algorithm: whichever header a caller picks, it has to
 * know the same secret. No other sender may share a path.
 */
export const defaultSenders: readonly Sender[] = [github, decnet, messaging];

/** The sender with the longest name that `name` equals or starts with: `github-acme` is `github`. */
export function senderFor(known: readonly Sender[], name: string): Sender | undefined {
  return known
    .filter((sender) => name === sender.name || name.startsWith(`${sender.name}-`))
    .sort((a, b) => b.name.length - a.name.length)[0];
}
