/** What one run's session leaves behind for those who want to know what happened: everything, but for secrets. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256 } from '../../file-text.js';
import { syncFolder } from '../../storage/log-file.js';
import { type ChainHead, type EntryFormat, jsonLines, markdownEntries } from './chain.js';
import { ChainedFile } from './chained-file.js';
import { type Redact, redactor } from './redact.js';

/** The chained files of a folder, each with the way its entries are written. */
export const auditFiles = {
  comms: { name: 'comms.jsonl', format: jsonLines },
  toolcalls: { name: 'toolcalls.md', format: markdownEntries },
  http: { name: 'http.jsonl', format: jsonLines },
  cli: { name: 'cli.jsonl', format: jsonLines },
} as const satisfies Record<string, { name: string; format: EntryFormat }>;

export type AuditFile = keyof typeof auditFiles;
export type AuditHeads = Readonly<Record<AuditFile, ChainHead>>;

export interface RunAuditOptions {
  /** Of this session alone; made when it is not there. */
  readonly folder: string;
  /** Secrets that the process holds. @default none */
  readonly secrets?: readonly string[];
  /** A file is set aside before it grows beyond. @default 10 MiB */
  readonly maxFileBytes?: number;
  /** Milliseconds since 1970. @default Date.now */
  now?(): number;
}

/** What went to a provider, came from it, or happened in between. */
export interface CommsRecord {
  readonly direction: 'out' | 'in';
  /** `request`, `response`, `tool_call`, `tool_result`, `gate`, … */
  readonly kind: string;
  readonly provider: string;
  readonly model: string;
  readonly payload: unknown;
}

export interface ToolCallRecord {
  readonly id: string;
  readonly name: string;
  /** What ran: a person may have edited it. */
  readonly payload: unknown;
  readonly output: string;
  readonly failed: boolean;
  readonly durationMs: number;
}

/** A script at its gate. */
export interface ScriptRecord {
  readonly callId: string;
  readonly proposed: string;
  /** Where a person has changed it. */
  readonly edited?: string;
}

const defaultMaxBytes = 10 << 20;

/** Every call is on disk, as far as the operating system is, before it returns. Throws StompError LOG_UNWRITABLE. */
export class RunAudit {
  readonly #scripts: string;
  readonly #files: Readonly<Record<AuditFile, ChainedFile>>;
  readonly #redact: Redact;
  readonly #now: () => number;

  private constructor({ folder, secrets, maxFileBytes = defaultMaxBytes, now = Date.now }: RunAuditOptions) {
    this.#scripts = join(folder, 'scripts');
    this.#redact = redactor(secrets);
    this.#now = now;
    const open = (file: AuditFile) => this.#open(folder, file, maxFileBytes);
    this.#files = {
      comms: open('comms'),
      toolcalls: open('toolcalls'),
      http: open('http'),
      cli: open('cli'),
    };
  }

  /** Goes on with the files that are there. */
  static open(options: RunAuditOptions): RunAudit {
    mkdirSync(join(options.folder, 'scripts'), { recursive: true, mode: 0o700 });
    return new RunAudit(options);
  }

  comms({ direction, kind, provider, model, payload }: CommsRecord): void {
    this.#line('comms', { direction, kind, provider, model, payload });
  }

  /** A request to the clutch's own HTTP interface: who asked for what, and what came of it. */
  http(record: Readonly<Record<string, unknown>>): void {
    this.#line('http', record);
  }

  /** A process: its command, what it was given and what it gave. */
  cli(record: Readonly<Record<string, unknown>>): void {
    this.#line('cli', record);
  }

  toolCall(record: ToolCallRecord): void {
    const { id, name, payload, output, failed, durationMs } = this.#redact(record) as ToolCallRecord;
    const heading = `## ${oneLine(name)} (${oneLine(id)})`;
    const how = `${this.#time()}, ${Math.round(durationMs)} ms, ${failed ? 'failed' : 'done'}`;
    const parts = [heading, how, indented(JSON.stringify(payload, undefined, 2)), indented(output)];
    this.#files.toolcalls.append(`${parts.join('\n\n')}\n`);
  }

  /**
   * Keeps a script, as it was proposed and as it was edited, in files of their own.
   * @returns their names in the folder `scripts`
   */
  script({ callId, proposed, edited }: ScriptRecord): string[] {
    const versions = edited === undefined ? { proposed } : { proposed, edited };
    const stem = `${this.#time().replace(/[-:.]/g, '')}_${String(this.#files.cli.head.seq + 1).padStart(4, '0')}`;
    return Object.entries(versions).map(([version, script]) => {
      const text = this.#redact(script) as string;
      const file = `${stem}.${version}${process.platform === 'win32' ? '.ps1' : '.sh'}`;
      writeFileSync(join(this.#scripts, file), text, { flag: 'wx', mode: 0o600, flush: true });
      this.#line('cli', { kind: 'script', call_id: callId, version, file, sha256: sha256(text) });
      return file;
    });
  }

  /** At gates: all so far outlives a power cut. @returns where the chains are; kept elsewhere, they prove it whole */
  async sync(): Promise<AuditHeads> {
    await syncFolder(this.#scripts);
    const { comms, toolcalls, http, cli } = this.#files;
    return {
      comms: await comms.sync(),
      toolcalls: await toolcalls.sync(),
      http: await http.sync(),
      cli: await cli.sync(),
    };
  }

  async close(): Promise<void> {
    try {
      await this.sync();
    } finally {
      for (const file of Object.values(this.#files)) file.close();
    }
  }

  #open(folder: string, file: AuditFile, maxBytes: number): ChainedFile {
    const { name, format } = auditFiles[file];
    const told = (torn: object) =>
      format === jsonLines
        ? JSON.stringify({ time: this.#time(), kind: 'torn', ...torn })
        : `## Half an entry was removed\n\n${this.#time()}\n\n${indented(JSON.stringify(torn))}\n`;
    return ChainedFile.open({ path: join(folder, name), format, maxBytes, tornEntry: told });
  }

  #line(file: 'comms' | 'http' | 'cli', record: object): void {
    const clean = this.#redact(record) as object;
    this.#files[file].append(JSON.stringify({ time: this.#time(), ...clean }));
  }

  /** With milliseconds. */
  #time(): string {
    return new Date(this.#now()).toISOString();
  }
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ');
}

/** As a block of code of Markdown, whatever the text is. */
function indented(text: string): string {
  return text.replace(/^/gm, '    ');
}
