/** The OpenAPI document: it describes what is there, all of it, and nothing else. */
import { describe, expect, it } from 'vitest';
import { start } from './harness.js';

interface Doc {
  openapi: string;
  paths: Record<string, Record<string, { operationId: string; responses: Record<string, unknown> }>>;
  components: { schemas: Record<string, unknown> };
}

async function document(): Promise<Doc> {
  const { get } = await start();
  return (await (await get('/openapi.json')).json()) as Doc;
}

describe('the OpenAPI document', () => {
  it('describes every route of the server, and none that is not there', async () => {
    const running = await start();
    const doc = (await (await running.get('/openapi.json')).json()) as Doc;
    const described = Object.entries(doc.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    expect(described.sort()).toEqual(routesOf(running.server.app.resources).sort());
  });

  it('refers to no schema that it does not hold', async () => {
    const doc = await document();
    const text = JSON.stringify(doc);
    const wanted = [...text.matchAll(/"#\/components\/schemas\/([^"]+)"/g)].map((match) => match[1] ?? '');
    expect(wanted.length).toBeGreaterThan(50);
    expect(wanted.filter((name) => !Object.hasOwn(doc.components.schemas, name))).toEqual([]);
  });

  it('names every operation once', async () => {
    const doc = await document();
    const ids = Object.values(doc.paths).flatMap((methods) =>
      Object.values(methods).map((one) => one.operationId),
    );
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('the page of the document', () => {
  it('shows every path, and loads nothing', async () => {
    const { get } = await start();
    const response = await get('/docs');
    expect(response.headers.get('content-security-policy')).toContain("default-src 'none'");
    const page = await response.text();
    for (const path of Object.keys((await document()).paths)) expect(page).toContain(`<code>${path}</code>`);
    expect(page).not.toMatch(/<script|src=|@import|url\(/);
  });
});

/** As `GET /v1/agents/{id}`. */
function routesOf(resources: ReadonlyMap<string, readonly string[]>): string[] {
  return [...resources].flatMap(([url, methods]) => {
    const path = url.replaceAll(/:(\w+)/g, '{$1}').replace('/models/*', '/models/{model}');
    return methods.map((method) => `${method} ${path}`);
  });
}
