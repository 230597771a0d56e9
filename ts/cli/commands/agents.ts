/** `stomp-serve agents`: asks the running server, and where none runs, looks into the cache folder. */
import type { Settings } from '../../config/index.js';
import { StompError } from '../../errors.js';
import { readKeyFile } from '../../serve/access/key-file.js';
import { listAgentFiles } from '../agent-files.js';
import type { Command, Invocation } from '../command.js';
import { type Column, table } from '../table.js';
import { print } from '../terminal.js';
import { formatAge, formatBytes } from '../units.js';

export const agents: Command = {
  name: 'agents',
  usage: '',
  summary: 'List the agents of a running server, or those kept on disk',
  arguments: [0, 0],
  run: listAgents,
};

/** One agent as the server tells it. */
interface ServedAgent {
  readonly agent_id: string;
  readonly tier: string;
  readonly tokens: number;
  readonly pool_bytes: number;
  readonly disk_bytes: number;
  readonly hit_rate: number;
  readonly last_used: string;
}

const right = (title: string): Column => ({ title, align: 'right' });

async function listAgents({ settings, terminal }: Invocation): Promise<number> {
  const url = `http://${askedHost(settings.host)}:${settings.port}`;
  const served = settings.port === 0 ? undefined : await askServer(url, await firstKey(settings));
  if (served) {
    print(terminal, served.length === 0 ? 'No agents yet.' : servedTable(served));
    print(terminal, `\nFrom the server at ${url}.`);
    return 0;
  }
  print(terminal, await diskTable(settings));
  print(terminal, `\nFrom ${settings.cacheDir}; no server answers at ${url}.`);
  return 0;
}

/** Where a server on all addresses can be asked from here. */
function askedHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

/** Every role may look at agents. */
async function firstKey({ apiKeyFile }: Settings): Promise<string | undefined> {
  return apiKeyFile === undefined ? undefined : (await readKeyFile(apiKeyFile))[0]?.key;
}

/**
 * @returns undefined when nobody listens, or somebody who is not a stomp-serve that is ready.
 * @throws StompError UNAUTHORIZED
 */
async function askServer(url: string, key: string | undefined): Promise<ServedAgent[] | undefined> {
  let response: Response;
  try {
    response = await fetch(`${url}/v1/agents`, {
      headers: key === undefined ? {} : { authorization: `Bearer ${key}` },
      signal: AbortSignal.timeout(5000),
    });
  } catch {
    return undefined;
  }
  if (response.status === 401) {
    throw new StompError(
      'UNAUTHORIZED',
      `The server at ${url} wants one of its API keys: name its file with --api-key-file.`,
    );
  }
  if (!response.ok) return undefined;
  const body = (await response.json().catch(() => undefined)) as { data?: ServedAgent[] } | undefined;
  return Array.isArray(body?.data) ? body.data : undefined;
}

function servedTable(served: readonly ServedAgent[]): string {
  const columns = [
    { title: 'AGENT' },
    { title: 'WHERE' },
    right('TOKENS'),
    right('MEMORY'),
    right('DISK'),
    right('REUSED'),
    { title: 'LAST USED' },
  ];
  const rows = served.map((agent) => [
    agent.agent_id,
    agent.tier,
    String(agent.tokens),
    formatBytes(agent.pool_bytes),
    formatBytes(agent.disk_bytes),
    `${Math.round(agent.hit_rate * 100)} %`,
    formatAge(Date.now() - Date.parse(agent.last_used)),
  ]);
  return table(columns, rows);
}

async function diskTable(settings: Settings): Promise<string> {
  const files = await listAgentFiles(settings.cacheDir);
  if (files.length === 0) return 'No agents are kept on disk.';
  const columns = [
    { title: 'AGENT' },
    { title: 'MODEL' },
    right('TOKENS'),
    right('DISK'),
    { title: 'SAVED' },
  ];
  const rows = files.map((file) => [
    file.agent,
    file.model === '' ? '(unreadable)' : file.model,
    file.tokens === undefined ? '' : String(file.tokens),
    formatBytes(file.bytes),
    formatAge(Date.now() - file.savedMs),
  ]);
  return table(columns, rows);
}
