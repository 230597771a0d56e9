/**
 * A client of MCP in a process of its own, with a server of its own over standard input and output. Adds one to numbers
 * in files, again and again, and tells how often it succeeded with each.
 * Usage: node mcp-counter.js MAIN DATABASE ROUNDS FILE...
 */
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';

const [main, database, rounds, ...files] = process.argv.slice(2);
const client = new Client({ name: 'counter', version: '1' });
await client.connect(
  new StdioClientTransport({ command: process.execPath, args: [main, 'mcp', '--database', database] }),
);

async function call(name, args) {
  const { isError, structuredContent } = await client.callTool({ name, arguments: args });
  if (!isError) return structuredContent;
  const error = new Error(structuredContent.error.message);
  error.code = structuredContent.error.code;
  throw error;
}

/** Reads, and writes what it has made of it, unless somebody was faster. */
async function byVersion(path) {
  const { content, sha256 } = await call('fs_read', { path, batch: true });
  await call('fs_write', {
    path,
    content: String(Number(content) + 1),
    expected_sha256: sha256,
    batch: true,
  });
}

/** Keeps the file to itself for as long as it takes. */
async function byLock(path) {
  const resources = [{ resource_class: 'CRIT_CODE', identifier: path }];
  const { leases } = await call('lock_acquire', { resources, max_wait_ms: 60_000 });
  try {
    const { content } = await call('fs_read', { path });
    await call('fs_write', { path, content: String(Number(content) + 1) });
  } finally {
    await call('lock_release', { leases });
  }
}

const done = Object.fromEntries(files.map((file) => [file, 0]));
for (let round = 0; round < Number(rounds); round++) {
  for (const file of files) {
    try {
      await (round % 2 === 0 ? byVersion(file) : byLock(file));
      done[file]++;
    } catch (error) {
      // Somebody else was faster: that counts as nothing done.
      if (error.code !== 'STALE_VERSION' && error.code !== 'RESOURCE_BUSY') throw error;
    }
  }
}
await client.close();
console.log(JSON.stringify(done));
