/** A real server against its own OpenAPI document, with requests made by Schemathesis. */
import { beforeAll, expect, it } from 'vitest';
import { TestRepository } from '../integration/reservations/repositories.js';
import { bringSchemathesis, schemathesis } from '../servers/schemathesis.js';
import { type ServerProcess, serve, temporaryFolder } from './server-process.js';

const scale = Number(process.env['STOMP_TEST_SCALE'] ?? 1);
let server: ServerProcess;

beforeAll(async () => {
  bringSchemathesis();
  const repository = new TestRepository();
  repository.commit({
    'src/tax.py': 'def rate():\n    return 0.19\n',
    'src/shop.py': 'from src.tax import rate\n\n\ndef total(net):\n    return net * rate()\n',
  });
  server = await serve({ shared: true, args: ['--repository', repository.folder] });
});

it('answers every request in a way that its OpenAPI document says', async () => {
  const { code, output } = await schemathesis(
    `${server.url}/openapi.json`,
    [
      '--phases=examples,coverage,fuzzing',
      '--checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection,allow_header_conformance',
      `--max-examples=${20 * scale}`,
      // These would take the model away from all the others, wait for a day for what another request has reserved, or never end.
      '--exclude-path-regex=^/v1/(admin/models/(load|swap|unload)|reservations/await|events)$',
      '--seed=20',
      '--request-timeout=60',
      '--suppress-health-check=all',
    ],
    temporaryFolder(),
  );
  expect(code, output).toBe(0);
}, 600_000);
