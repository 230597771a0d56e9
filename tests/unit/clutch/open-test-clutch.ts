/** A clutch over a folder, a database and a scripted model of its own, for one test. */
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import type { Clutch, ClutchOptions, RunInput } from '../../../ts/clutch/clutch.js';
import type { Gate } from '../../../ts/clutch/gates/gate.js';
import { openClutch } from '../../../ts/clutch/open-clutch.js';
import type { Run } from '../../../ts/clutch/runs/run.js';
import { FileGuard, Maasl } from '../../../ts/guard/index.js';
import { type Script, ScriptedModel } from './scripted-model.js';

const cleanUps: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp();
});

export class TestClutch {
  readonly folder: string;
  readonly root: string;
  readonly model: ScriptedModel;
  readonly warnings: unknown[] = [];
  readonly #options: ClutchOptions;
  clutch!: Clutch;

  private constructor(folder: string, model: ScriptedModel, options: Omit<ClutchOptions, 'onWarning'>) {
    this.folder = folder;
    this.root = join(folder, 'root');
    this.model = model;
    this.#options = { ...options, onWarning: (warning) => this.warnings.push(warning) };
  }

  static async open(script: Script, options: Partial<ClutchOptions> = {}): Promise<TestClutch> {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-clutch-')));
    mkdirSync(join(folder, 'root'));
    const maasl = await Maasl.open({ database: join(folder, 'stomp.db') });
    const files = await FileGuard.open(maasl, { roots: [join(folder, 'root')] });
    const model = await ScriptedModel.start(script);
    cleanUps.push(() => rmSync(folder, { recursive: true, force: true }));
    cleanUps.push(() => maasl.close());
    cleanUps.push(() => model.close());
    const test = new TestClutch(folder, model, {
      storage: join(folder, 'clutch.db'),
      auditFolder: join(folder, 'audit'),
      files,
      providers: { scripted: { kind: 'openai', baseUrl: model.url, defaultModel: 'scripted', tries: 1 } },
      defaultProvider: 'scripted',
      graceMs: 0,
      ...options,
    });
    await test.reopen();
    cleanUps.push(() => test.clutch.close());
    return test;
  }

  /** As after a start of the process; without `close` before, as after its end without warning. */
  async reopen(): Promise<void> {
    this.clutch = await openClutch(this.#options);
  }

  start(prompt: string, input: RunInput = {}): Promise<Run> {
    return this.clutch.start({ prompt, ...input });
  }

  /** The gate that waits for a decision next. */
  async gate(runId?: string): Promise<Gate> {
    for (;;) {
      const [gate] = await this.clutch.gates.list({ status: 'pending', runId });
      if (gate) return gate;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  async approve(edits?: object): Promise<Gate> {
    const { id, revision } = await this.gate();
    const given = edits === undefined ? {} : { edits: edits as Gate['payload'] };
    return this.clutch.gates.decide(id, { decision: 'approve', revision, by: 'eve', ...given });
  }

  async reject(reason?: string): Promise<Gate> {
    const { id, revision } = await this.gate();
    return this.clutch.gates.decide(id, { decision: 'reject', revision, by: 'eve', reason });
  }

  /** What the model was told of the calls of its last round. */
  get lastResults(): string[] {
    const asked = this.model.asked.at(-1) ?? [];
    const from = asked.findLastIndex(({ role }) => role === 'assistant') + 1;
    return asked.slice(from).map(({ content }) => content ?? '');
  }

  audit(runId: string, file = 'comms.jsonl'): string {
    return readFileSync(join(this.folder, 'audit', runId, file), 'utf8');
  }

  path(name: string): string {
    return join(this.root, name);
  }

  write(name: string, text: string): void {
    writeFileSync(this.path(name), text);
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8');
  }
}
