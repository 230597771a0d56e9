/** A real server with a model that says what a test has written, and the person who decides. */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, expect } from 'vitest';
import type { ApprovalWire, RunWire } from '../../ts/clutch/wire.js';
import { type Script, ScriptedModel } from '../unit/clutch/scripted-model.js';
import { type ServerProcess, type ServerSetup, serve, temporaryFolder } from './server-process.js';

const models: ScriptedModel[] = [];
afterEach(async () => {
  for (const model of models.splice(0)) await model.close();
});

export class RunningClutch {
  readonly #setup: ServerSetup;
  readonly root: string;
  readonly audit: string;
  server!: ServerProcess;

  private constructor(setup: ServerSetup, root: string, audit: string) {
    this.#setup = setup;
    this.root = root;
    this.audit = audit;
  }

  static async open(script: Script, more: readonly string[] = []): Promise<RunningClutch> {
    const model = await ScriptedModel.start(script);
    models.push(model);
    const [root, audit, state] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
    const providers = join(state, 'providers.toml');
    writeFileSync(
      providers,
      `[scripted]\nkind = "openai"\nbase_url = "${model.url}"\ndefault_model = "scripted"\ntries = 1\n`,
    );
    const args = ['--roots', root, '--audit-dir', audit, '--providers', providers, ...more];
    const setup = {
      database: join(state, 'stomp.db'),
      cacheDir: temporaryFolder(),
      args: [...args, '--default-provider', 'scripted'],
    };
    const running = new RunningClutch(setup, root, audit);
    await running.restart();
    return running;
  }

  async restart(): Promise<void> {
    this.server = await serve(this.#setup);
  }

  get tokenFile(): string {
    return join(dirname(this.server.database), 'approver-token');
  }

  get person(): Record<string, string> {
    return { authorization: `Bearer ${readFileSync(this.tokenFile, 'utf8').trim()}` };
  }

  async start(prompt: string, more: object = {}): Promise<RunWire> {
    const response = await this.server.post('/v1/runs', { prompt, ...more });
    expect(response.status).toBe(201);
    return (await response.json()) as RunWire;
  }

  async pending(run: RunWire): Promise<ApprovalWire> {
    const path = `/v1/approvals?status=pending&run_id=${run.id}`;
    const list = () => this.server.json<{ data: ApprovalWire[] }>(path);
    await expect.poll(async () => (await list()).data.length).toBe(1);
    return (await list()).data[0] as ApprovalWire;
  }

  resolve({ id, revision }: ApprovalWire, body: object = {}, headers = this.person): Promise<Response> {
    return this.server.post(
      `/v1/approvals/${id}/resolve`,
      { decision: 'approve', revision, ...body },
      headers,
    );
  }

  async over(run: RunWire): Promise<RunWire> {
    const now = () => this.server.json<RunWire>(`/v1/runs/${run.id}`);
    await expect.poll(async () => (await now()).ended_at).toBeDefined();
    return now();
  }
}
