/**
 * The agents that a cache folder holds, read from outside of any engine: names from the file names, the
 * rest from the headers of the files. Takes no lock and changes nothing.
 */
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

export interface AgentFile {
  readonly agent: string;
  /** Name of the model's folder. */
  readonly fingerprint: string;
  /** As the model calls itself; empty when the header cannot be read. */
  readonly model: string;
  readonly tokens: number | undefined;
  /** Without keys and values: they were given up for the disk's budget. */
  readonly cold: boolean;
  readonly bytes: number;
  readonly savedMs: number;
}

/** A transcript of a long conversation makes a long header; beyond this it is not looked at. */
const MAX_HEADER_BYTES = 64 << 20;

const SUFFIX = '.safetensors';

/** @returns newest first; empty for a folder that does not exist. */
export async function listAgentFiles(cacheDir: string): Promise<AgentFile[]> {
  const models = await entries(cacheDir);
  const found = await Promise.all(models.map((fingerprint) => readModelFolder(cacheDir, fingerprint)));
  return found.flat().sort((a, b) => b.savedMs - a.savedMs);
}

/** The agent that a file belongs to; how ids are written as file names is told in docs/format.md. */
export function agentOfFileName(name: string): string | undefined {
  if (!name.endsWith(SUFFIX) || name.startsWith('.')) return undefined;
  const [id = '', upper = ''] = name.slice(0, -SUFFIX.length).split('=');
  const isUpper = (at: number) => ((Number.parseInt(upper[at >> 2] ?? '0', 16) >> (at & 3)) & 1) === 1;
  return [...id].map((letter, at) => (isUpper(at) ? letter.toUpperCase() : letter)).join('');
}

async function readModelFolder(cacheDir: string, fingerprint: string): Promise<AgentFile[]> {
  const folder = join(cacheDir, fingerprint);
  const files: AgentFile[] = [];
  for (const name of await entries(folder)) {
    const agent = agentOfFileName(name);
    if (agent !== undefined) files.push({ fingerprint, ...(await readAgentFile(join(folder, name), agent)) });
  }
  return files;
}

async function readAgentFile(path: string, agent: string): Promise<Omit<AgentFile, 'fingerprint'>> {
  const file = await open(path);
  try {
    const { size, mtimeMs } = await file.stat();
    const header = await readHeader(file);
    return { agent, ...header, bytes: size, savedMs: mtimeMs };
  } finally {
    await file.close();
  }
}

type Header = Pick<AgentFile, 'model' | 'tokens' | 'cold'>;

async function readHeader(file: Awaited<ReturnType<typeof open>>): Promise<Header> {
  const unreadable = { model: '', tokens: undefined, cold: false };
  const prefix = await file.read(Buffer.alloc(8), 0, 8, 0);
  if (prefix.bytesRead < 8) return unreadable;
  const length = prefix.buffer.readBigUInt64LE();
  if (length > MAX_HEADER_BYTES) return unreadable;
  const { buffer, bytesRead } = await file.read(Buffer.alloc(Number(length)), 0, Number(length), 8);
  return parseHeader(buffer.toString('utf8', 0, bytesRead)) ?? unreadable;
}

/** The file may be anything; the engine judges it when it opens it, here it is only shown. */
function parseHeader(text: string): Header | undefined {
  let header: { __metadata__?: { model?: unknown; kind?: unknown }; tokens?: { shape?: unknown } } | null;
  try {
    header = JSON.parse(text) as typeof header;
  } catch {
    return undefined;
  }
  const model = header?.__metadata__?.model;
  const shape = header?.tokens?.shape;
  const tokens: unknown = Array.isArray(shape) ? shape[0] : undefined;
  return {
    model: typeof model === 'string' ? model : '',
    tokens: typeof tokens === 'number' ? tokens : undefined,
    cold: header?.__metadata__?.kind === 'cold',
  };
}

async function entries(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (caught) {
    const code = (caught as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return [];
    throw caught;
  }
}
