/** What a server says once it is ready. */
import type { ModelRegistry } from '../engine/model-registry.js';
import type { EngineInfo, EngineStats } from '../engine/types.js';
import type { GuardServices } from '../serve/index.js';
import { packageVersion } from '../version.js';
import { print, type Terminal } from './terminal.js';
import { formatBytes, plural } from './units.js';

/** What a server has and where it is found. */
export interface Announced {
  readonly registry: ModelRegistry;
  readonly guard: GuardServices;
  readonly symbols: string;
  readonly url: string;
  /** Of the person who decides, where there are no keys. */
  readonly approverToken: string | undefined;
}

/** For whoever has started it. */
export async function announce(
  { registry, guard: { maasl, files }, symbols, url, approverToken }: Announced,
  terminal: Terminal,
): Promise<void> {
  const { engine } = registry;
  if (!engine) return; // An administrator was quicker.
  const { info } = engine;
  const [stats, agents] = await Promise.all([engine.stats(), engine.agents()]);
  const kept =
    info.cacheDir === undefined
      ? 'in memory only'
      : `${info.cacheDir} (${plural(agents.length, 'agent')} from before)`;
  print(terminal, `stomp-serve ${packageVersion()}`);
  print(
    terminal,
    `  model     ${registry.current().model}: ${info.name}, ${info.family}, ${info.layers} layers, ${info.contextTokens} tokens of context`,
  );
  print(terminal, `  executor  ${executorLine(info)}`);
  print(terminal, `  memory    ${memoryLine(stats)}`);
  print(terminal, `  agents    ${kept}`);
  print(terminal, `  guard     ${files.roots.join(', ')}, locks in ${maasl.storage?.name}`);
  print(terminal, `  symbols   ${symbols}`);
  print(terminal, `  url       ${url}`);
  print(terminal, `  mcp       ${url}/mcp`);
  // The fragment of an address stays in the browser.
  print(terminal, `  dashboard ${url}/ui${approverToken === undefined ? '' : `#token=${approverToken}`}`);
  print(terminal, `Ready. Ctrl-C saves every agent and stops.`);
}

function executorLine({ executor }: EngineInfo): string {
  const { name, device, isa, threads, numerics } = executor;
  const parts = [
    device === name ? name : `${name} on ${device}`,
    isa,
    threads > 0 ? plural(threads, 'thread') : '',
    `numerics ${numerics}`,
  ];
  return parts.filter((part) => part !== '').join(', ');
}

function memoryLine({ memory, pool, blockTokens }: EngineStats): string {
  const least = Math.min(...pool.map((group) => group.capacity)) * blockTokens;
  return (
    `weights ${formatBytes(memory.weightsBytes)}, caches ${formatBytes(memory.poolBytes)} ` +
    `(${least} tokens), scratch ${formatBytes(memory.scratchBytes)}`
  );
}
