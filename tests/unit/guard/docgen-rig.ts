import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import type { StompError } from '../../../ts/errors.js';
import {
  DocgenGuard,
  type DocgenOptions,
  type DocgenRequest,
  type DocgenResult,
} from '../../../ts/guard/docgen.js';
import type { DocgenMake } from '../../../ts/guard/docgen-run.js';
import { type FileCall, FileGuard } from '../../../ts/guard/files.js';
import { Maasl, type MaaslOptions } from '../../../ts/guard/maasl.js';
import type { StompEvent } from '../../../ts/guard/telemetry.js';

export const as = (agentId: string, more: Partial<FileCall> = {}): FileCall => ({
  agentId,
  sessionId: `${agentId}-1`,
  ...more,
});

export const code = (error: StompError) => error.code;

export const hash = (bytes: string | Buffer) => createHash('sha256').update(bytes).digest('hex');

/** What is in place when `text` was made of `source`. */
export const document = (source: string | Buffer, text: string) =>
  `<!-- SHA256: ${hash(source)} -->\n${text}`;

/** Something to wait for, and what lets it happen. */
export function gate(): { opened: Promise<void>; open(): void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** What one process has open. */
export interface Desk {
  readonly maasl: Maasl;
  readonly files: FileGuard;
  readonly docs: DocgenGuard;
  readonly events: StompEvent[];
}

/** A project in a folder of its own, and any number of processes that share its database. */
export class DocgenRig {
  readonly base = realpathSync(mkdtempSync(join(tmpdir(), 'stomp-docgen-')));
  readonly root = join(this.base, 'project');
  readonly #open: Maasl[] = [];

  constructor() {
    mkdirSync(this.root);
  }

  async desk(
    options: DocgenOptions = {},
    more: MaaslOptions & { maxFileBytes?: number } = {},
  ): Promise<Desk> {
    const { maxFileBytes = 10_000, ...setup } = more;
    const events: StompEvent[] = [];
    const database = join(this.base, 'stomp.db');
    const maasl = await Maasl.open({ database, sink: (event) => events.push(event), ...setup });
    this.#open.push(maasl);
    const files = await FileGuard.open(maasl, { roots: [this.root], maxFileBytes });
    return { maasl, files, docs: await DocgenGuard.open(maasl, files, options), events };
  }

  async close(): Promise<void> {
    for (const maasl of this.#open) await maasl.close();
    rmSync(this.base, { recursive: true });
  }

  at(name: string): string {
    return join(this.root, name);
  }

  put(name: string, content: string | Buffer): void {
    mkdirSync(dirname(this.at(name)), { recursive: true });
    writeFileSync(this.at(name), content);
  }

  text(name: string): string {
    return readFileSync(this.at(name), 'utf8');
  }

  request(more: Partial<DocgenRequest> = {}): DocgenRequest {
    return { repo: this.root, source: 'a.ts', target: 'a.md', ...more };
  }

  /** A call that has begun to make, and goes on when it is let. */
  async atWork(
    { docs }: Desk,
    call: FileCall,
    make: DocgenMake = (text) => `about ${text}`,
  ): Promise<{ done: Promise<DocgenResult>; go(): void }> {
    const [begun, go] = [gate(), gate()];
    const slow: DocgenMake = async (text, context) => {
      begun.open();
      await go.opened;
      return make(text, context);
    };
    const done = docs.generate(this.request(), slow, call);
    await Promise.race([begun.opened, done]);
    return { done, go: go.open };
  }

  /** Nothing staged is left behind, and nothing is locked. */
  async expectTidy(): Promise<void> {
    const names = readdirSync(this.root, { recursive: true }) as string[];
    expect(names.filter((name) => name.endsWith('.stomp'))).toEqual([]);
    for (const maasl of this.#open) expect(await maasl.locks.snapshot()).toEqual([]);
  }
}
