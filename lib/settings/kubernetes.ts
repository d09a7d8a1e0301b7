/**
 * Variables that Kubernetes sets in every container for each Service of the namespace. For a Service "webhook" they
 * have the names of our settings (WEBHOOK_PORT=tcp://10.0.0.1:80), for "webhook-secret" those of a secret.
 *
 * Name and value together tell them: each has one of the few forms that the kubelet writes.
 * https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
 */
import { isIP } from "node:net";

const isUrl = (value: string): boolean => /^(tcp|udp|sctp):\/\/\S+:\d{1,5}$/.test(value);
const isAddress = (value: string): boolean => isIP(value) !== 0;
const isPort = (value: string): boolean => /^\d{1,5}$/.test(value);
const isProtocol = (value: string): boolean => /^(tcp|udp|sctp)$/.test(value);

/** What the names end in, and what the values then look like. */
const forms: readonly (readonly [name: RegExp, isGood: (value: string) => boolean])[] = [
  [/_SERVICE_HOST$/, isAddress],
  [/_SERVICE_PORT(_[A-Z0-9_]+)?$/, isPort],
  [/_PORT(_\d+_(TCP|UDP|SCTP))?$/, isUrl],
  [/_PORT_\d+_(TCP|UDP|SCTP)_PROTO$/, isProtocol],
  [/_PORT_\d+_(TCP|UDP|SCTP)_PORT$/, isPort],
  [/_PORT_\d+_(TCP|UDP|SCTP)_ADDR$/, isAddress],
];

/** The line names so many of them. */
const namesShown = 3;

/**
 * Takes them out of the environment.
 * @returns one warning about all of them, or none
 */
export function passOverServices(environment: NodeJS.ProcessEnv): string[] {
  const found = Object.keys(environment)
    .filter((name) => name.startsWith("WEBHOOK_") && isOfService(name, environment[name] ?? ""))
    .sort();
  for (const name of found) delete environment[name];
  if (found.length === 0) return [];
  const more = found.length > namesShown ? ` and ${found.length - namesShown} more` : "";
  return [
    `passed over what Kubernetes sets for a Service: ${found.slice(0, namesShown).join(", ")}${more} (enableServiceLinks: false keeps them away)`,
  ];
}

function isOfService(name: string, value: string): boolean {
  return forms.some(([ending, isGood]) => ending.test(name) && isGood(value));
}
