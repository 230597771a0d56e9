/** Agents in processes of their own, killed at random while they change the same things: nothing is lost. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PostgresServer, startPostgres } from '../../servers/postgres.js';
import { stomp } from '../server-process.js';

const scale = Number(process.env['STOMP_TEST_SCALE'] ?? 1);
const minutes = 60_000;

async function storm(...args: string[]): Promise<void> {
  const { code, out, err } = await stomp('stress', ...args);
  expect(err).toBe('');
  expect(code, out).toBe(0);
}

const operations = (count: number) => ['--operations', String(Math.round(count * scale))];

describe('agents that are killed while they write', () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server?.close());

  it(
    'lose no update of a file, with locks on SQLite',
    () => storm('--scenario', 'files', '--kill', ...operations(1000)),
    20 * minutes * scale,
  );

  it(
    'lose no update of a file, with locks on PostgreSQL',
    () =>
      storm(
        '--scenario',
        'files',
        '--kill',
        ...operations(1000),
        '--backend',
        'postgres',
        '--database',
        server.url,
      ),
    20 * minutes * scale,
  );

  it(
    'lose nothing of anything, all scenarios at once',
    () => storm('--scenario', 'mixed', '--kill', ...operations(300)),
    20 * minutes * scale,
  );

  it(
    'lose nothing while PostgreSQL is restarted under them',
    async () => {
      const running = storm(
        '--scenario',
        'files',
        '--duration',
        '15',
        '--backend',
        'postgres',
        '--database',
        server.url,
      );
      for (let i = 0; i < 2; i++) {
        await new Promise((resolve) => setTimeout(resolve, 4000));
        await server.stop('immediate');
        await server.start();
      }
      await running;
    },
    5 * minutes,
  );

  it(
    'ten agents count a hundred times each, and every count is there',
    () => storm('--scenario', 'files', '--agents', '10', '--operations', '1000'),
    20 * minutes,
  );
});
