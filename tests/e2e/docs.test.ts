/** The reference pages name all that a running server has, and nothing else. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { TestRepository } from '../integration/reservations/repositories.js';
import { type ServerProcess, serve } from './server-process.js';

const page = (name: string) => readFileSync(join(import.meta.dirname, '../../docs', name), 'utf8');
let server: ServerProcess;

beforeAll(async () => {
  const repository = new TestRepository();
  repository.commit({ 'a.py': 'a = 1\n' });
  server = await serve({ shared: true, args: ['--repository', repository.folder] });
});

const bare = (path: string) => path.replaceAll(/\{\w+\}/g, '{}');

interface Request {
  readonly methods: readonly string[];
  /** As it stands there. */
  readonly path: string;
  /** What it may mean: `…` stands for the path before it, or for that one's folder. */
  readonly paths: readonly string[];
}

/** The requests of a cell such as "`GET`, `PUT /v1/a`, `POST …/b`". */
function requestsOf(cell: string): Request[] {
  const found: Request[] = [];
  let methods: string[] = [];
  let isNew = true;
  for (const [, code = ''] of cell.matchAll(/`([^`]+)`/g)) {
    const [, method, path] = /^([A-Z]+)?\s*(\S+)?$/.exec(code) ?? [];
    if (method) methods = isNew ? [...methods, method] : [method];
    isNew = path === undefined;
    if (path !== undefined) found.push({ methods, path, paths: meaning(path, found) });
  }
  return found;
}

function meaning(path: string, before: readonly Request[]): string[] {
  if (!path.startsWith('…')) return [path];
  const last = before.findLast((one) => !one.path.startsWith('…'))?.path ?? '';
  return [last, last.slice(0, last.lastIndexOf('/'))].map((base) => base + path.slice(1));
}

const shown = ({ methods }: Request, path: string) => methods.map((method) => `${method} ${bare(path)}`);

function named(markdown: string): { whole: string[]; all: Set<string> } {
  const cells = [...markdown.matchAll(/^\| ((?:`[^`]+`(?:, )?)+) \|/gm)].map(([, cell = '']) => cell);
  const requests = cells.flatMap(requestsOf);
  const whole = requests.filter(({ path }) => path.startsWith('/') && path !== '/ui/');
  return {
    whole: whole.flatMap((request) => shown(request, request.path)),
    all: new Set(requests.flatMap((request) => request.paths.flatMap((path) => shown(request, path)))),
  };
}

describe('docs/http.md', () => {
  it('names every request of the OpenAPI document, and none that is not there', async () => {
    const { paths } = await server.json<{ paths: Record<string, Record<string, unknown>> }>('/openapi.json');
    const served = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${bare(path)}`),
    );
    const { whole, all } = named(page('http.md'));
    expect(served.filter((request) => !all.has(request))).toEqual([]);
    expect(whole.filter((request) => !served.includes(request))).toEqual([]);
  });

  it('names every metric', async () => {
    const text = page('http.md');
    const metrics = await metricNames();
    expect(metrics.filter((name) => !text.includes(name.replace(/^stomp_/, '')))).toEqual([]);
  });
});

describe('docs/mcp.md', () => {
  it('names every tool, and none that is not there', async () => {
    const { data } = await server.json<{ data: { name: string }[] }>('/v1/tools');
    const rows = page('mcp.md').matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm);
    const listed = [...rows].flatMap(([, cell = '']) =>
      [...cell.matchAll(/`(\w+)`/g)].map(([, name]) => name),
    );
    expect(listed.sort()).toEqual(data.map(({ name }) => name).sort());
  });
});

describe('docs/deploy/alerts.yml', () => {
  it('asks for metrics that a server has, with the labels that they have', async () => {
    const metrics = await metricNames();
    const wanted = [...page('deploy/alerts.yml').matchAll(/\bstomp_\w+/g)].map(([name]) =>
      name.replace(/_bucket$/, ''),
    );
    expect(wanted.length).toBeGreaterThan(8);
    expect(wanted.filter((name) => !metrics.includes(name))).toEqual([]);
    await server.turn('ann', 'Hello');
    const text = await (await fetch(`${server.url}/metrics`)).text();
    for (const labelled of [
      /^stomp_request_total\{.*status="200"/m,
      /^stomp_event_loop_delay_seconds\{quantile="0.99"\}/m,
    ])
      expect(text).toMatch(labelled);
  });
});

async function metricNames(): Promise<string[]> {
  const text = await (await fetch(`${server.url}/metrics`)).text();
  return [...text.matchAll(/^# TYPE (\w+)/gm)].map(([, name = '']) => name);
}
