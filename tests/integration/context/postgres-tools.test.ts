/** The same calls of tools on SQLite and on PostgreSQL give the same results and the same errors. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentContextManager, contextTools } from '../../../ts/context/index.js';
import type { StompError } from '../../../ts/errors.js';
import { Toolbox, toolErrorBody } from '../../../ts/tools/toolbox.js';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-tools-')));
let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(async () => {
  await server?.close();
  rmSync(folder, { recursive: true });
});

const ann = { agent_id: 'ann', session_id: 'anns' };
const script: readonly (readonly [tool: string, args: object])[] = [
  ['get_project', {}],
  ['set_project', { name: 'one' }],
  ['set_project', { name: 'one', create: true, description: 'Ünï', tags: 'a, b' }],
  ['project_create', { name: 'two', meta: { deep: [1, null, 'x'] } }],
  ['project_create', { name: 'two' }],
  ['session_start', { ...ann, metadata: { task: 1 } }],
  ['set_project', { ...ann, name: 'one', expected_version: 0 }],
  ['set_project', { ...ann, name: 'two', expected_version: 0 }],
  ['set_project', { ...ann, name: 'two', expected_version: 1 }],
  ['set_project', { agent_id: 'ann', name: 'one' }],
  ['set_project', { agent_id: 'bob', session_id: 'anns', name: 'one' }],
  ['append_entry', { ...ann, message: 'a|b; c\nexample ü', id: 'x', meta: { 'k=': ';' } }],
  ['append_entry', { ...ann, message: 'a|b; c\nexample ü', id: 'x', meta: { 'k=': ';' } }],
  ['append_entry', { ...ann, message: 'something else', id: 'x' }],
  [
    'append_entry',
    {
      ...ann,
      items: [
        { message: 'b', id: 'y', status: 'bug' },
        { message: 'c', id: 'z' },
      ],
    },
  ],
  ['read_recent', { agent_id: 'ann', limit: 2 }],
  ['query_entries', { agent_id: 'ann', message: 'EXAMPLE', page_size: 1 }],
  ['query_entries', { project: 'two', status: ['bug'], order: 'asc', fields: ['id', 'status'] }],
  ['query_entries', { project: 'two', message: '(', mode: 'regex' }],
  ['query_entries', { project: 'three' }],
  ['project_update', { name: 'two', description: 'd' }],
  ['project_list', {}],
  ['project_delete', { name: 'two' }],
  ['get_project', { agent_id: 'ann' }],
  ['session_list', { status: 'active' }],
  ['session_end', ann],
  ['session_heartbeat', ann],
  ['append_entry', { ...ann, message: 'late', project: 'one' }],
  ['context_events', { agent_id: 'ann' }],
  ['context_audit', {}],
];

/** What each call gives; ids that are made at random and the place of the files are replaced. */
async function played(database: string, place: string): Promise<string[]> {
  const root = join(folder, place);
  mkdirSync(root);
  let now = Date.UTC(2026, 0, 1);
  const manager = await AgentContextManager.open({
    database,
    roots: [root],
    cleanUpMs: 0,
    now: () => now,
  });
  const tools = new Toolbox([contextTools(manager)], {
    onFault: ({ error }) => expect.unreachable(String(error)),
  });
  const results: string[] = [];
  for (const [tool, args] of script) {
    now++;
    const result = await tools.call(tool, args).catch((error: StompError) => toolErrorBody(error));
    const text = JSON.stringify(result, null, 1).replaceAll(root, 'ROOT');
    results.push(`${tool} ${text.replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}/g, 'ID')}`);
  }
  await manager.close();
  return results;
}

it('is one context on both databases', async () => {
  const lite = await played(join(folder, 'stomp.db'), 'lite');
  const large = await played(server.url, 'large');
  expect(large.map(unhashed)).toEqual(lite.map(unhashed));
  const errors = lite.map((text) => /"code": "(\w+)"/.exec(text)?.[1]).filter(Boolean);
  expect(errors).toEqual([
    'PROJECT_NOT_FOUND',
    'PROJECT_EXISTS',
    'VERSION_CONFLICT',
    'NO_SESSION',
    'SESSION_MISMATCH',
    'ENTRY_EXISTS',
    'INVALID_REQUEST',
    'PROJECT_NOT_FOUND',
    'SESSION_EXPIRED',
    'SESSION_EXPIRED',
  ]);
});

/** Hashes and lengths are over lines with fencing tokens, which are each database's own. */
function unhashed(text: string): string {
  return text
    .replace(/[0-9a-f]{64}/g, 'HASH')
    .replace(/"token": "\d+"/g, 'TOKEN')
    .replace(/"bytes": \d+/g, 'BYTES');
}
