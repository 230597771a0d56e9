/** What the code of one repository says: who calls whom, and how branches of it merge. */
import path from 'node:path';
import { doubtsOf, forecast } from '../forecast/forecast.js';
import { cancelled } from '../git/git.js';
import { Objects } from '../git/objects.js';
import { Repository } from '../git/repository.js';
import { buildCallGraph } from '../graph/build.js';
import type { CallGraph } from '../graph/call-graph.js';
import { type Impact, impact } from '../impact.js';
import { planMerge } from '../merge/plan.js';
import { type Reconciliation, reconcile } from '../merge/reconcile.js';
import type { MergePlan } from '../merge/types.js';
import { type Written, writeMerge } from '../merge/write-out.js';
import { type Shards, shard } from '../shard.js';
import { splitAddress } from '../symbols/address.js';
import { GitTree } from '../symbols/git-tree.js';
import { SymbolIndex } from '../symbols/index.js';
import { readFile } from '../symbols/read-file.js';
import { WorkingTree } from '../symbols/working-tree.js';
import type { Forecast, Intent, PartyFilter, Reservation, Warning } from '../types.js';

/** What goes with every question. */
export interface CodeCall {
  readonly signal?: AbortSignal | undefined;
  /** Of source files that had to be read. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export interface ForecastQuestion {
  readonly reservations: readonly Reservation[];
  readonly intents: readonly Intent[];
  /** Whose conflicts alone are told. @default everybody's */
  readonly only?: PartyFilter | undefined;
}

export interface ImpactQuestion {
  readonly addresses: readonly string[];
  readonly depth?: number | undefined;
}

export interface ShardQuestion {
  readonly count: number;
}

export interface MergeQuestion {
  readonly ours: string;
  readonly theirs: string;
  readonly base?: string | undefined;
  /** New folder for the merged files, apart from the repository. */
  readonly out?: string | undefined;
  /** Files in conflict are written too, with markers. */
  readonly withMarkers?: boolean | undefined;
}

/** A plan, and what was written of it. */
export interface MergeAnswer extends MergePlan {
  readonly written?: Written;
}

export interface ReconcileQuestion {
  readonly branches?: readonly string[] | undefined;
  readonly into?: string | undefined;
}

/** An answer, and what could not be read for it. */
export type WithWarnings<T> = T & { readonly warnings: readonly Warning[] };

interface State {
  /** Of every file's path and content. */
  readonly key: string;
  readonly files: SymbolIndex['files'];
  readonly graph: CallGraph;
  readonly warnings: readonly Warning[];
}

/** Beside git's own files, where no commit takes it along. */
const cacheFile = ['stomp-serve', 'symbols.db'];

/** Keeps a thread busy for seconds: a server asks it through `CodeThread`. */
export class Code {
  readonly #folder: string;
  #last: State | undefined;

  /** @param folder in a working tree, or a bare repository */
  constructor(folder: string) {
    this.#folder = folder;
  }

  /** @throws StompError NOT_A_REPOSITORY, GIT_FAILED, CANCELLED */
  async forecast({ only, ...announced }: ForecastQuestion, call: CodeCall): Promise<Forecast> {
    const { files, graph, warnings } = await this.#state(call);
    const found = forecast({ ...announced, files, graph, only });
    return { ...found, warnings: [...warnings, ...found.warnings] };
  }

  /**
   * What is not there, or not known, of addresses; reads no more than their files.
   * @throws StompError NOT_A_REPOSITORY, GIT_FAILED, CANCELLED
   */
  async doubts(addresses: readonly string[], { signal }: CodeCall): Promise<readonly Warning[]> {
    const repository = await Repository.open(this.#folder, { signal });
    const paths = new Set(addresses.map((address) => splitAddress(address).path));
    const { files } = await indexOf(repository, { signal }, paths);
    return doubtsOf(addresses, files);
  }

  /** @throws StompError NOT_A_REPOSITORY, INVALID_REQUEST, GIT_FAILED, CANCELLED */
  async impact({ addresses, depth }: ImpactQuestion, call: CodeCall): Promise<WithWarnings<Impact>> {
    const { graph, warnings } = await this.#state(call);
    return { ...impact(graph, addresses, depth), warnings };
  }

  /** @throws StompError NOT_A_REPOSITORY, INVALID_REQUEST, GIT_FAILED, CANCELLED */
  async shard({ count }: ShardQuestion, call: CodeCall): Promise<WithWarnings<Shards>> {
    const { files, graph, warnings } = await this.#state(call);
    return { ...shard(files, graph, count), warnings };
  }

  /** @throws StompError NOT_A_REPOSITORY, UNKNOWN_REF, MERGE_REFUSED, INVALID_REQUEST, GIT_FAILED, CANCELLED */
  async planMerge(question: MergeQuestion, { signal }: CodeCall): Promise<MergeAnswer> {
    const { ours, theirs, base, out, withMarkers } = question;
    const repository = await Repository.open(this.#folder, { signal });
    const plan = await planMerge(repository, ours, theirs, { base, symbolsOf, signal });
    if (out === undefined) return plan;
    return { ...plan, written: await writeMerge(repository, plan, out, { withMarkers, signal }) };
  }

  /** @throws StompError NOT_A_REPOSITORY, UNKNOWN_REF, INVALID_REQUEST, GIT_FAILED, CANCELLED */
  async reconcile({ branches, into }: ReconcileQuestion, { signal }: CodeCall): Promise<Reconciliation> {
    const repository = await Repository.open(this.#folder, { signal });
    return reconcile(repository, { branches, into, symbolsOf, signal });
  }

  /** The files as they lie there; of a bare repository, those of its HEAD. */
  async #state({ signal, onProgress }: CodeCall): Promise<State> {
    const repository = await Repository.open(this.#folder, { signal });
    const index = await indexOf(repository, { signal, onProgress });
    const key = index.files.map(({ path: name, contentId }) => `${contentId} ${name}`).join('\n');
    if (signal?.aborted) throw cancelled(signal);
    const { files, warnings } = index;
    const graph = this.#last?.key === key ? this.#last.graph : buildCallGraph(files);
    this.#last = { key, files, graph, warnings };
    return this.#last;
  }
}

/** @param only paths of the files that are asked for. Default: all */
async function indexOf(
  repository: Repository,
  call: CodeCall,
  only?: ReadonlySet<string>,
): Promise<SymbolIndex> {
  const { top, commonDir } = repository;
  const cachePath = path.join(commonDir, ...cacheFile);
  if (top !== undefined) {
    return SymbolIndex.open({ ...call, cachePath, tree: (cache) => new WorkingTree(top, cache, only) });
  }
  const objects = new Objects(repository, call.signal);
  try {
    const tree = new GitTree(objects, await objects.commit('HEAD'), only);
    return await SymbolIndex.open({ ...call, cachePath, tree });
  } finally {
    objects.close();
  }
}

async function symbolsOf(name: string, text: string) {
  return { path: name, contentId: '', ...(await readFile(name, Buffer.from(text, 'utf8'))) };
}
