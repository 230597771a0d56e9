/**
 * The OpenAPI document as a page for people: no scripts, nothing from elsewhere, so that it works without a network
 * and can be shown with the strictest content policy. Pure.
 */

interface Doc {
  info: { title: string; version: string; description: string };
  tags: { name: string; description: string }[];
  paths: Record<string, Record<string, Op>>;
  components: object;
}

interface Op {
  tags: string[];
  summary: string;
  description?: string;
  parameters?: { name: string; in: string; description: string; required?: boolean }[];
  requestBody?: { content: Record<string, { schema: unknown }> };
  responses: Record<string, { description: string }>;
}

/** What the page may load: its own styles. */
export const PAGE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

export function openApiPage(document: object): string {
  const doc = document as Doc;
  const { title, version, description } = doc.info;
  const groups = doc.tags.map((tag) => {
    const items = Object.entries(doc.paths).flatMap(([path, methods]) =>
      Object.entries(methods)
        .filter(([, operation]) => operation.tags.includes(tag.name))
        .map(([method, operation]) => operationHtml(method, path, operation)),
    );
    return items.length === 0
      ? ''
      : `<h2 id="${html(tag.name)}">${html(tag.name)}</h2><p>${html(tag.description)}</p>${items.join('')}`;
  });
  const shapes = `<h2>shapes</h2><details><summary>what $ref names</summary>${json(doc.components)}</details>`;
  return (
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${html(title)}</title>` +
    `<meta name="viewport" content="width=device-width"><style>${STYLE}</style>` +
    `<h1>${html(title)} ${html(version)}</h1><p>${html(description)} ` +
    `The same for programs: <a href="/openapi.json">/openapi.json</a>.</p>${groups.join('')}${shapes}</html>\n`
  );
}

const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}' +
  'details{border:1px solid #ccc;border-radius:.4rem;margin:.5rem 0;padding:.4rem .8rem}summary{cursor:pointer}' +
  'code,pre{font:14px/1.4 ui-monospace,monospace}pre{overflow:auto;background:#f5f5f5;padding:.6rem}b{display:inline-block;' +
  'min-width:4.5rem}table{border-collapse:collapse}td{padding:.1rem .8rem .1rem 0;vertical-align:top}' +
  '@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#222}a{color:#8bf}}';

function operationHtml(method: string, path: string, operation: Op): string {
  const body = operation.requestBody?.content['application/json']?.schema;
  return (
    `<details><summary><b>${method.toUpperCase()}</b> <code>${html(path)}</code> ${html(operation.summary)}</summary>` +
    `<p>${html(operation.description ?? '')}</p>${parametersHtml(operation)}` +
    `${body === undefined ? '' : `<h4>Body</h4>${json(body)}`}<h4>Answers</h4>${answersHtml(operation)}</details>`
  );
}

function parametersHtml({ parameters = [] }: Op): string {
  if (parameters.length === 0) return '';
  const rows = parameters.map(({ name, in: place, description, required }) => [
    `<code>${html(name)}</code>`,
    `${html(place)}${required ? ', needed' : ''}`,
    html(description),
  ]);
  return `<h4>Parameters</h4>${table(rows)}`;
}

function answersHtml({ responses }: Op): string {
  return table(Object.entries(responses).map(([status, { description }]) => [status, html(description)]));
}

function table(rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[]) => row.map((cell) => `<td>${cell}</td>`).join('');
  return `<table>${rows.map((row) => `<tr>${cells(row)}</tr>`).join('')}</table>`;
}

function json(value: unknown): string {
  return `<pre>${html(JSON.stringify(value, undefined, 2))}</pre>`;
}

function html(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}
