/** Secrets that a clutch is given to work with: no audit shows them, in whatever form they come back. */
import { StompError } from '../../errors.js';
import type { ClutchOptions } from '../clutch.js';
import { readKey } from '../providers/keys.js';
import type { McpServer } from '../tools/mcp.js';
import { isSecretName } from './redact.js';

/** Shorter values would take harmless words with them. */
const shortest = 8;

/** In an environment no password: the folder that a shell is in, which every other line of an audit names. */
const workingDirectory = 'PWD';

/** Of the environment, of key files of providers, of MCP servers, and those that the caller names. */
export function knownSecrets(
  { secrets = [], providers = {}, mcpServers = [] }: ClutchOptions,
  environment: NodeJS.ProcessEnv,
): string[] {
  const keys = Object.entries(providers).flatMap(([name, { keyFile }]) => keyIn(name, keyFile));
  const found = [...named(environment), ...keys, ...mcpServers.flatMap(secretsOfServer)];
  return [...secrets, ...found.filter((text) => text.length >= shortest)];
}

function keyIn(provider: string, file: string | undefined): string[] {
  if (file === undefined) return [];
  try {
    return [readKey({ provider, file }, {})?.reveal() ?? ''];
  } catch (error) {
    // Whoever asks the provider is told of it.
    if (error instanceof StompError && error.code === 'PROVIDER_KEY_MISSING') return [];
    throw error;
  }
}

/** Headers may hold anything that only the server is to know. */
function secretsOfServer({ connection }: McpServer): string[] {
  return connection.kind === 'http' ? Object.values(connection.headers ?? {}) : named(connection.env ?? {});
}

function named(values: Readonly<Record<string, string | undefined>>): string[] {
  const isSecret = (name: string) => isSecretName(name) && name !== workingDirectory;
  return Object.entries(values).flatMap(([name, value = '']) => (isSecret(name) ? [value] : []));
}
