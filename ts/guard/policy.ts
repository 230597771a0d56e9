/**
 * Resource classes: how a kind of resource is guarded. Four are built in; TOML changes them and adds others,
 * for one registry, never for all.
 */
import { suggestion } from '../config/nearest.js';
import { StompError } from '../errors.js';

/**
 * What a class does when several want one resource at once.
 * - `mutex`: one after the other.
 * - `single_writer`: one writer, any number of readers beside each other.
 * - `merge`: changes queue and are merged, they do not fail for being late.
 * - `idempotent`: who finds that another has just produced the same has nothing to do.
 */
export type Concurrency = 'mutex' | 'single_writer' | 'merge' | 'idempotent';

/** `fail_closed`: busy is an error. `fail_open_merge`: busy leaves the change for whoever is at it. */
export type Strategy = 'fail_closed' | 'fail_open_merge';

/** How patient the caller is: a person looks on, or nobody does. */
export type WaitMode = 'interactive' | 'batch';

/** How a kind of resource is guarded; times in milliseconds. */
export interface ResourceClass {
  readonly name: string;
  readonly concurrency: Concurrency;
  readonly scope: string;
  /** What its keys begin with, the colon left out. */
  readonly prefix: string;
  readonly leaseTtlMs: number;
  readonly interactiveMaxWaitMs: number;
  readonly batchMaxWaitMs: number;
  readonly strategy: Strategy;
}

const builtIn: readonly ResourceClass[] = [
  {
    name: 'CRIT_CODE',
    concurrency: 'mutex',
    scope: 'file',
    prefix: 'code',
    leaseTtlMs: 30_000,
    interactiveMaxWaitMs: 500,
    batchMaxWaitMs: 3000,
    strategy: 'fail_closed',
  },
  {
    name: 'CRIT_DB',
    concurrency: 'single_writer',
    scope: 'db',
    prefix: 'db',
    leaseTtlMs: 60_000,
    interactiveMaxWaitMs: 1000,
    batchMaxWaitMs: 10_000,
    strategy: 'fail_closed',
  },
  {
    name: 'MERGE_META',
    concurrency: 'merge',
    scope: 'graph',
    prefix: 'graph',
    leaseTtlMs: 30_000,
    interactiveMaxWaitMs: 500,
    batchMaxWaitMs: 5000,
    strategy: 'fail_open_merge',
  },
  {
    name: 'IDEMP_DOCS',
    concurrency: 'idempotent',
    scope: 'repo',
    prefix: 'docgen',
    leaseTtlMs: 120_000,
    interactiveMaxWaitMs: 500,
    batchMaxWaitMs: 5000,
    strategy: 'fail_closed',
  },
];

const concurrencies: readonly Concurrency[] = ['mutex', 'single_writer', 'merge', 'idempotent'];
const scopes = ['file', 'db', 'graph', 'repo', 'resource'] as const;
const strategies: readonly Strategy[] = ['fail_closed', 'fail_open_merge'];
const longestMs = 24 * 3600 * 1000;

const generalKeys = [
  'enabled',
  'default_interactive_max_wait_ms',
  'default_batch_max_wait_ms',
  'default_lease_ttl_sec',
  'resource',
];
const classKeys = [
  'concurrency',
  'scope',
  'prefix',
  'lease_ttl_sec',
  'interactive_max_wait_ms',
  'batch_max_wait_ms',
  'strategy',
];

type Table = Readonly<Record<string, unknown>>;

/** The resource classes of one installation. */
export class PolicyRegistry {
  /** False: operations run without any lock. */
  readonly enabled: boolean;
  readonly #classes = new Map<string, ResourceClass>();
  readonly #other: ResourceClass;

  /**
   * @param maasl the table `[maasl]` of a TOML file, parsed.
   * @throws StompError CONFIG_INVALID
   */
  constructor(maasl: Table = {}) {
    checkKnown('maasl', maasl, generalKeys);
    this.enabled = flag('maasl.enabled', maasl.enabled, true);
    const defaults = {
      leaseTtlMs: seconds('maasl.default_lease_ttl_sec', maasl.default_lease_ttl_sec),
      interactiveMaxWaitMs: wait(
        'maasl.default_interactive_max_wait_ms',
        maasl.default_interactive_max_wait_ms,
      ),
      batchMaxWaitMs: wait('maasl.default_batch_max_wait_ms', maasl.default_batch_max_wait_ms),
    };
    this.#other = { ...lowest, ...defined(defaults), name: 'OTHER', prefix: '' };
    for (const known of builtIn) this.#classes.set(known.name, known);
    for (const [name, own] of Object.entries(table('maasl.resource', maasl.resource))) {
      this.#classes.set(name, classOf(name, own, this.#classes.get(name), defaults));
    }
    checkPrefixes(this.classes());
  }

  /** @throws StompError UNKNOWN_RESOURCE_CLASS */
  get(name: string): ResourceClass {
    const found = this.#classes.get(name);
    if (found) return found;
    const known = [...this.#classes.keys()];
    const shown = String(name).slice(0, 100);
    throw new StompError(
      'UNKNOWN_RESOURCE_CLASS',
      `There is no resource class ${JSON.stringify(shown)}.${suggestion(shown, known)} There are ${known.join(', ')}.`,
      { fields: { resource_class: shown, known } },
    );
  }

  /** All of them, the built-in ones first. */
  classes(): readonly ResourceClass[] {
    return [...this.#classes.values()];
  }

  /** The class of a lock key by what it begins with; for any other key what holds where nobody says anything. */
  ofKey(key: string): ResourceClass {
    const prefix = key.slice(0, key.indexOf(':') + 1);
    return this.classes().find((known) => `${known.prefix}:` === prefix) ?? this.#other;
  }

  /** How long a caller of this patience waits. */
  maxWaitMs(resourceClass: ResourceClass, mode: WaitMode): number {
    return mode === 'batch' ? resourceClass.batchMaxWaitMs : resourceClass.interactiveMaxWaitMs;
  }

  /** The lock key of a resource: `code:/home/me/a.ts`. */
  keyOf(resourceClass: ResourceClass, identifier: string): string {
    return `${resourceClass.prefix}:${identifier}`;
  }
}

type WaitKey = 'leaseTtlMs' | 'interactiveMaxWaitMs' | 'batchMaxWaitMs';
type Waits = { readonly [K in WaitKey]?: number | undefined };

function classOf(
  name: string,
  given: unknown,
  known: ResourceClass | undefined,
  defaults: Waits,
): ResourceClass {
  const at = `maasl.resource.${name}`;
  const own = table(at, given);
  checkKnown(at, own, classKeys);
  if (!known && own.concurrency === undefined) checkMeant(at, name);
  const base = known ?? { ...lowest, ...defined(defaults), prefix: name.toLowerCase() };
  const concurrency = choice(`${at}.concurrency`, own.concurrency, concurrencies) ?? base.concurrency;
  return {
    name,
    concurrency,
    scope: choice(`${at}.scope`, own.scope, scopes) ?? base.scope,
    prefix: text(`${at}.prefix`, own.prefix ?? base.prefix),
    strategy: strategyOf(at, own.strategy, concurrency, known),
    leaseTtlMs: seconds(`${at}.lease_ttl_sec`, own.lease_ttl_sec) ?? base.leaseTtlMs,
    interactiveMaxWaitMs:
      wait(`${at}.interactive_max_wait_ms`, own.interactive_max_wait_ms) ?? base.interactiveMaxWaitMs,
    batchMaxWaitMs: wait(`${at}.batch_max_wait_ms`, own.batch_max_wait_ms) ?? base.batchMaxWaitMs,
  };
}

/** Two classes with one prefix would lock each other's keys. */
function checkPrefixes(classes: readonly ResourceClass[]): void {
  const owners = new Map<string, string>();
  for (const { name, prefix } of classes) {
    const other = owners.get(prefix);
    if (other)
      throw invalid(`maasl.resource.${name}.prefix`, `is "${prefix}", as that of ${other}; say another`);
    owners.set(prefix, name);
  }
}

/** A slip in the name of a class would leave that class as it is, and nobody would hear of it. */
function checkMeant(at: string, name: string): void {
  const near = suggestion(
    name,
    builtIn.map((known) => known.name),
  );
  if (near === '') return;
  throw invalid(at, `is no class.${near} A class of your own with such a name says its concurrency`);
}

function strategyOf(
  at: string,
  given: unknown,
  concurrency: Concurrency,
  known: ResourceClass | undefined,
): Strategy {
  const usual = concurrency === 'merge' ? (known ?? lowest).strategy : 'fail_closed';
  const strategy = choice(`${at}.strategy`, given, strategies) ?? usual;
  if (strategy === 'fail_open_merge') checkMerged(at, concurrency, known);
  return strategy;
}

/** Without a lock goes only who leaves a change to be merged: the guards of files, databases and docs do not. */
function checkMerged(at: string, concurrency: Concurrency, known: ResourceClass | undefined): void {
  if (known && known.strategy !== 'fail_open_merge') {
    throw invalid(`${at}.strategy`, 'must be fail_closed: changes of this class are not merged');
  }
  if (concurrency !== 'merge') {
    throw invalid(`${at}.strategy`, 'may be fail_open_merge only where concurrency is merge');
  }
}

// Of classes that the user adds, where neither they nor the general keys say.
const lowest = {
  concurrency: 'mutex',
  scope: 'resource',
  leaseTtlMs: 30_000,
  interactiveMaxWaitMs: 500,
  batchMaxWaitMs: 5000,
  strategy: 'fail_closed',
} as const;

function defined(waits: Waits): { [K in WaitKey]?: number } {
  return Object.fromEntries(Object.entries(waits).filter(([, value]) => value !== undefined));
}

function checkKnown(at: string, given: Table, known: readonly string[]): void {
  for (const key of Object.keys(given)) {
    if (known.includes(key)) continue;
    throw invalid(`${at}.${key}`, `is no setting.${suggestion(key, known)} There are ${known.join(', ')}`);
  }
}

function table(at: string, value: unknown): Table {
  if (value === undefined) return {};
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Table;
  throw invalid(at, 'must be a table');
}

function flag(at: string, value: unknown, fallback: boolean): boolean {
  if (value === undefined) return fallback;
  if (typeof value === 'boolean') return value;
  throw invalid(at, 'must be true or false');
}

function seconds(at: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && value > 0 && value * 1000 <= longestMs) return value * 1000;
  throw invalid(at, `must be a number of seconds above 0, up to ${longestMs / 1000}`);
}

function wait(at: string, value: unknown): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && value >= 0 && value <= longestMs) return value;
  throw invalid(at, `must be a number of milliseconds from 0 to ${longestMs}`);
}

function text(at: string, value: unknown): string {
  if (typeof value === 'string' && /^[^:/\s]{1,64}$/.test(value)) return value;
  throw invalid(at, 'must be a word of up to 64 characters without colons and slashes');
}

function choice<T extends string>(at: string, value: unknown, allowed: readonly T[]): T | undefined {
  if (value === undefined) return undefined;
  const found = allowed.find((one) => one === value);
  if (found) return found;
  throw invalid(at, `must be one of ${allowed.join(', ')}`);
}

function invalid(at: string, what: string): StompError {
  return new StompError('CONFIG_INVALID', `${at} ${what}.`, { fields: { setting: at } });
}
