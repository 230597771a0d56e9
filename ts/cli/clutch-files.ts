/** Files that say with whom runs work: providers and MCP servers. Whatever is wrong with one is told by its name. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { parse as parseToml } from 'smol-toml';
import { openProvider, type ProviderOptions, providerKinds } from '../clutch/providers/open-provider.js';
import type { McpServer } from '../clutch/tools/mcp.js';
import { expandHome } from '../config/value.js';
import { StompError } from '../errors.js';
import { type ArgumentsOf, given, type ObjectSchema, readArguments } from '../tools/parameters.js';
import { text, whole } from '../tools/shapes.js';

const mostBytes = 1 << 20;
const mostEntries = 100;

const providerSchema = {
  type: 'object',
  properties: {
    kind: { type: 'string', enum: providerKinds, description: 'In whose form it is asked' },
    base_url: text('Somebody else who speaks as this kind does'),
    key_env: text('Environment variable with the key'),
    key_file: text('File with the key'),
    default_model: text('Of runs that name none'),
    max_concurrent: whole('Requests at a time', 1, 64),
    idle_ms: whole('Longest time in which nothing comes', 0, 86_400_000),
    tries: whole('How often to try in all', 1, 5),
    longest_wait_ms: whole('Longest wait that a provider may ask for', 0, 86_400_000),
    context_tokens: whole('Longest prompt and answer together', 256, 100_000_000),
    cache_min_tokens: whole('Shorter prefixes are not cached', 1, 1_000_000),
    thinking: { type: 'string', enum: ['adaptive', 'disabled'], description: 'Whether to think' },
    command: text('Name or path of a program'),
  },
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;

/**
 * @returns by name
 * @throws StompError CONFIG_INVALID
 */
export function readProviders(path: string): Promise<Readonly<Record<string, ProviderOptions>>> {
  return fromFile(path, 'providers', async (document) => {
    const read = entriesOf(document).map(
      ([name, entry]) => [name, providerOf(name, entry, dirname(path))] as const,
    );
    return Object.fromEntries(read);
  });
}

function providerOf(name: string, entry: unknown, folder: string): ProviderOptions {
  return within(name, () => {
    const said = readArguments(providerSchema, entry);
    const options: ProviderOptions = given({
      kind: said.kind,
      baseUrl: said.base_url,
      keyEnv: said.key_env,
      keyFile: said.key_file === undefined ? undefined : resolve(folder, expandHome(said.key_file)),
      defaultModel: said.default_model,
      maxConcurrent: said.max_concurrent,
      idleMs: said.idle_ms,
      tries: said.tries,
      longestWaitMs: said.longest_wait_ms,
      contextTokens: said.context_tokens,
      cacheMinTokens: said.cache_min_tokens,
      thinking: said.thinking,
      command: said.command,
    });
    // Asks nobody, and says what it would not take; the engine itself is not looked for here.
    openProvider(name, options, { models: noModels });
    return options;
  });
}

const noModels = {
  current: () => ({ model: undefined, aliases: [] }),
  acquire: () => Promise.reject(new StompError('ENGINE_UNAVAILABLE', 'There is no engine here.')),
};

const serverSchema = {
  type: 'object',
  properties: {
    type: { type: 'string', enum: ['stdio', 'http', 'streamable-http'], description: 'How it is reached' },
    command: text('The program'),
    args: {
      type: 'array',
      description: 'Its arguments',
      items: text('One'),
      minItems: 0,
      maxItems: 1000,
    },
    env: { type: 'object', description: 'Variables of its environment', additionalProperties: true },
    cwd: text('The folder it is started in'),
    url: text('Its address'),
    headers: { type: 'object', description: 'Headers of each request', additionalProperties: true },
    timeout_ms: whole('For one call', 1, 86_400_000),
  },
  required: [],
  additionalProperties: false,
} as const satisfies ObjectSchema;

/** @throws StompError CONFIG_INVALID */
export function readMcpServers(path: string): Promise<readonly McpServer[]> {
  return fromFile(path, 'mcp-servers', async (document) => {
    const { mcpServers, ...others } = document as { readonly mcpServers?: unknown };
    const [other] = Object.keys(others);
    if (mcpServers === undefined || other !== undefined)
      throw wrong(
        other === undefined
          ? 'it has no mcpServers'
          : `"${other.slice(0, 100)}" is not known beside mcpServers`,
      );
    return entriesOf(mcpServers).map(([name, entry]) => serverOf(name, entry));
  });
}

function serverOf(name: string, entry: unknown): McpServer {
  return within(name, () => {
    if (!/^[A-Za-z0-9_-]{1,24}$/.test(name))
      throw wrong('its name must be 1 to 24 letters, digits, "_" and "-"');
    // The names of variables and headers are the user's own, and keep their letters.
    const said = readArguments(serverSchema, entry);
    return { name, connection: connectionOf(said), ...given({ timeoutMs: said.timeout_ms }) };
  });
}

function connectionOf(said: ArgumentsOf<typeof serverSchema>): McpServer['connection'] {
  const { type, command, args, env, cwd, url, headers } = said;
  if ((command === undefined) === (url === undefined)) throw wrong('it must have either a command or a url');
  const isProgram = (type ?? (url === undefined ? 'stdio' : 'http')) === 'stdio';
  if (isProgram !== (command !== undefined)) throw wrong(`it is not of the type ${type}`);
  if (command !== undefined)
    return { kind: 'stdio', command, ...given({ args, env: texts('env', env), cwd }) };
  return { kind: 'http', url: addressOf(url ?? ''), ...given({ headers: texts('headers', headers) }) };
}

function addressOf(url: string): string {
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url;
  throw wrong('its url must be an http or https address');
}

function texts(field: string, values: Readonly<Record<string, unknown>> | undefined) {
  if (values === undefined) return undefined;
  const other = Object.entries(values).find(([, value]) => typeof value !== 'string');
  if (other) throw wrong(`${field}.${other[0].slice(0, 100)} must be a text`);
  return values as Readonly<Record<string, string>>;
}

function entriesOf(value: unknown): [string, unknown][] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw wrong('it must hold names, each with what belongs to it');
  const entries = Object.entries(value);
  if (entries.length > mostEntries) throw wrong(`it holds more than ${mostEntries} names`);
  return entries;
}

function wrong(message: string): StompError {
  return new StompError('CONFIG_INVALID', message);
}

/** What is wrong, with the name of the entry before it. */
function within<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof StompError)) throw error;
    throw new StompError('CONFIG_INVALID', `${JSON.stringify(name.slice(0, 100))}: ${error.message}`, {
      cause: error,
    });
  }
}

/** @param setting the one that names the file */
async function fromFile<T>(
  path: string,
  setting: string,
  read: (document: unknown) => Promise<T>,
): Promise<T> {
  try {
    return await read(parsed(await textOf(path), path));
  } catch (cause) {
    const why = (cause as Error).message.split('\n')[0];
    throw new StompError('CONFIG_INVALID', `${path} is not usable: ${why}`, {
      cause,
      fields: { field: setting, value: path },
    });
  }
}

async function textOf(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size > mostBytes) throw wrong('it is larger than 1 MB.');
  return readFile(path, 'utf8');
}

/** JSON may have secrets in it, which its parser would quote. */
function parsed(text: string, path: string): unknown {
  if (extname(path) !== '.json') return parseToml(text);
  try {
    return JSON.parse(text.replace(/^\ufeff/, ''));
  } catch {
    throw wrong('it is not JSON.');
  }
}
