/** `stomp-serve agents`: asks the running server, and where none runs, looks into the cache folder. */
import type { Settings } from '../../config/index.js';
import { StompError } from '../../errors.js';
import { native } from '../../native.js';
import { type AgentFile, listAgentFiles } from '../agent-files.js';
import type { Command, Invocation } from '../command.js';
import { askServer, serverUrl } from '../running-server.js';
import { type Column, table } from '../table.js';
import { print } from '../terminal.js';
import { formatAge, formatBytes } from '../units.js';

export const agents: Command = {
  name: 'agents',
  usage: '[remove AGENT [MODEL]]',
  summary: 'List the agents of a running server, or those kept on disk; or remove one',
  arguments: [0, 3],
  run: runAgents,
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

async function runAgents(invocation: Invocation): Promise<number> {
  const [action, agent, model] = invocation.positionals;
  if (action === undefined) return listAgents(invocation);
  if (action === 'remove' && agent !== undefined) return removeAgent(invocation, agent, model);
  throw new StompError(
    'CONFIG_INVALID',
    `"${invocation.positionals.join(' ')}" cannot be done with agents. Usage: stomp-serve agents ${agents.usage}`,
    { fields: { field: 'arguments', value: action, allowed: 'remove' } },
  );
}

async function listAgents({ settings, terminal }: Invocation): Promise<number> {
  const url = serverUrl(settings);
  const served = await askServer<{ data?: ServedAgent[] }>(settings, 'GET', '/v1/agents');
  if (Array.isArray(served?.data)) {
    print(terminal, served.data.length === 0 ? 'No agents yet.' : servedTable(served.data));
    print(terminal, `\nFrom the server at ${url}.`);
    return 0;
  }
  print(terminal, await diskTable(settings));
  print(terminal, `\nFrom ${settings.cacheDir}; no server answers at ${url}.`);
  return 0;
}

async function removeAgent(
  { settings, terminal }: Invocation,
  agent: string,
  model: string | undefined,
): Promise<number> {
  const served = await askServer(settings, 'DELETE', `/v1/agents/${encodeURIComponent(agent)}`);
  if (served) {
    print(terminal, `Removed ${agent} from the server at ${serverUrl(settings)}.`);
    return 0;
  }
  const file = await storedAgent(settings.cacheDir, agent, model);
  // It may have gone since it was listed.
  if (!native().removeStoredAgent(settings.cacheDir, file.fingerprint, agent))
    throw notStored(agent, settings.cacheDir);
  print(terminal, `Removed ${agent} of ${modelName(file)} from ${settings.cacheDir}.`);
  return 0;
}

/**
 * The one file that is meant.
 * @throws StompError AGENT_NOT_FOUND, INVALID_REQUEST
 */
async function storedAgent(cacheDir: string, agent: string, model: string | undefined): Promise<AgentFile> {
  const files = (await listAgentFiles(cacheDir)).filter(
    (file) => file.agent === agent && (model === undefined || [file.model, file.fingerprint].includes(model)),
  );
  const [file, another] = files;
  if (!file) throw notStored(agent, cacheDir);
  if (!another) return file;
  const models = files.map((one) => `${modelName(one)} (${one.fingerprint})`).join(', ');
  throw new StompError(
    'INVALID_REQUEST',
    `Several models have an agent ${agent}: ${models}. Name one: stomp-serve agents remove ${agent} MODEL`,
    { fields: { field: 'arguments', value: agent } },
  );
}

function notStored(agent: string, cacheDir: string): StompError {
  return new StompError(
    'AGENT_NOT_FOUND',
    `There is no agent ${agent} in ${cacheDir}. See stomp-serve agents.`,
    {
      fields: { agent },
    },
  );
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
    { title: 'WHERE' },
    right('TOKENS'),
    right('DISK'),
    { title: 'USED' },
  ];
  const rows = files.map((file) => [
    file.agent,
    modelName(file),
    file.cold ? 'cold' : 'warm',
    file.tokens === undefined ? '' : String(file.tokens),
    formatBytes(file.bytes),
    formatAge(Date.now() - file.savedMs),
  ]);
  return table(columns, rows);
}

function modelName({ model }: AgentFile): string {
  return model === '' ? '(unreadable)' : model;
}
