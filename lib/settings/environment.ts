/**
 * The environment as the receiver and its commands read it: the process's own variables, without those that
 * Kubernetes adds for its Services, with those of the `.env` file, and with the secrets that files hold.
 */
import { loadEnvFile } from "./dotenv.ts";
import { passOverServices } from "./kubernetes.ts";
import { cutLineBreaks, readSecretFiles } from "./secret.ts";

/**
 * Makes the environment ready, in place: handlers read it too. A second call changes nothing more.
 * @param envFile as for `loadEnvFile`
 * @returns what is worth a warning, and the variables whose values came from files
 * @throws OperatorError for a file that cannot be read, or a secret that is not what its owner means
 */
export function loadEnvironment(
  envFile: string | undefined,
  environment: NodeJS.ProcessEnv,
): { warnings: string[]; secretFiles: ReadonlyMap<string, string> } {
  const warnings = passOverServices(environment); // first: a WEBHOOK_PORT of Kubernetes would beat that of `.env`
  loadEnvFile(envFile, environment);
  const secretFiles = readSecretFiles(environment);
  return { warnings: [...warnings, ...cutLineBreaks(environment)], secretFiles };
}
