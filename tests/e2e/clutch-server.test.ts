/** Runs on a real server: nothing happens before the person decides, once, whatever else happens meanwhile. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { verifyAudit } from '../../ts/clutch/audit/verify.js';
import type { ApprovalWire, RunWire } from '../../ts/clutch/wire.js';
import { type Script, ScriptedModel, turns } from '../unit/clutch/scripted-model.js';
import { type ServerProcess, type ServerSetup, serve, temporaryFolder } from './server-process.js';

const models: ScriptedModel[] = [];
afterEach(async () => {
  for (const model of models.splice(0)) await model.close();
});

class RunningClutch {
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

  async start(prompt: string): Promise<RunWire> {
    const response = await this.server.post('/v1/runs', { prompt });
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

/** Each time that it runs shows in the file. */
const script = { name: 'run_script', args: { script: 'echo once >> done.txt' } };

describe('a run on a server', () => {
  it('does once what one of two deciders has approved, and what no agent could', async () => {
    const running = await RunningClutch.open(turns({ calls: [script] }));
    const run = await running.start('Do it');
    const approval = await running.pending(run);
    expect((await running.resolve(approval, {}, {})).status).toBe(401);
    expect((await running.resolve(approval, {}, { authorization: 'Bearer wrong-wrong-wrong' })).status).toBe(
      401,
    );
    expect((await running.resolve(approval, { revision: 7 })).status).toBe(409);
    expect(existsSync(join(running.root, 'done.txt'))).toBe(false);
    const answers = await Promise.all([1, 2].map(() => running.resolve(approval)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    expect(await running.over(run)).toMatchObject({ status: 'done', output: 'Done.' });
    expect(readFileSync(join(running.root, 'done.txt'), 'utf8')).toBe('once\n');
    const http = readFileSync(join(running.audit, run.session_id, 'http.jsonl'), 'utf8');
    expect(http).toContain('"decision":"approve"');
    expect(http).not.toContain(running.person['authorization']?.slice(7));
    expect(verifyAudit(join(running.audit, run.session_id)).faults).toEqual([]);
  });

  it('waits where the server was killed, and does it once when there is one again', async () => {
    const running = await RunningClutch.open(turns({ calls: [script] }));
    const run = await running.start('Do it');
    const { id } = await running.pending(run);
    const oldToken = running.person;
    await running.server.stop('SIGKILL');
    await running.restart();
    const approval = await running.pending(run);
    expect(approval.id).toBe(id);
    expect((await running.resolve(approval, {}, oldToken)).status).toBe(401);
    expect((await running.resolve(approval, { edits: { script: 'echo edited >> done.txt' } })).status).toBe(
      200,
    );
    expect(await running.over(run)).toMatchObject({ status: 'done' });
    expect(readFileSync(join(running.root, 'done.txt'), 'utf8')).toBe('edited\n');
  });

  it('is denied where nobody decides in time', async () => {
    const running = await RunningClutch.open(turns({ calls: [script] }), ['--gate-timeout-seconds', '1']);
    const run = await running.start('Do it');
    const approval = await running.pending(run);
    expect(await running.over(run)).toMatchObject({ status: 'done' });
    const late = await running.resolve(approval);
    expect([late.status, await late.json()]).toMatchObject([410, { error: { code: 'APPROVAL_EXPIRED' } }]);
    expect(existsSync(join(running.root, 'done.txt'))).toBe(false);
  });
});

describe('the approver token', () => {
  it('is in the address of the dashboard and in a file of the owner, as long as the server runs', async () => {
    const { server, tokenFile } = await RunningClutch.open(turns());
    const token = readFileSync(tokenFile, 'utf8').trim();
    expect(server.out).toContain(`  dashboard ${server.url}/ui#token=${token}\n`);
    expect(server.err).not.toContain(token);
    expect(statSync(tokenFile).mode & 0o777).toBe(0o600);
    expect((await server.stop('SIGTERM')).code).toBe(0);
    expect(existsSync(tokenFile)).toBe(false);
  });
});

describe('the stream of events of a server', () => {
  it('is no reason to stay when the server is stopped', async () => {
    const { server } = await RunningClutch.open(turns());
    const stream = await fetch(`${server.url}/v1/events`);
    const reading = stream.text().catch(() => '');
    const stopped = server.stop('SIGTERM');
    expect((await stopped).code).toBe(0);
    expect(await reading).toContain('event: snapshot');
  });
});
