/** Claude Code at a pinned version, brought from npm once and kept below `build`; print mode and at a terminal. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { temporaryFolder } from '../e2e/server-process.js';
import { Terminal } from '../e2e/terminal.js';

const version = '2.1.197';
const folder = join(import.meta.dirname, `../../build/clients/claude-code-${version}`);
const program = join(folder, 'node_modules/.bin/claude');

export function installClaudeCode(): void {
  if (existsSync(program)) return;
  mkdirSync(folder, { recursive: true });
  const args = ['install', '--prefix', folder, '--no-save', `@anthropic-ai/claude-code@${version}`];
  const { status, stderr } = spawnSync('npm', args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`Claude Code could not be installed: ${stderr}`);
}

export interface Printed {
  readonly code: number | null;
  readonly out: string;
}

/** One person with a home and a project of its own, asking one server. */
export class ClaudeCode {
  readonly project: string;
  readonly #env: Record<string, string>;

  constructor({ url, model, project }: { url: string; model: string; project: string }) {
    this.project = project;
    const home = temporaryFolder();
    this.#env = {
      PATH: process.env['PATH'] ?? '',
      HOME: home,
      TERM: 'xterm-256color',
      LANG: 'C.UTF-8',
      ANTHROPIC_BASE_URL: url,
      ANTHROPIC_API_KEY: 'any',
      ANTHROPIC_MODEL: model,
      ANTHROPIC_DEFAULT_HAIKU_MODEL: model,
      CLAUDE_CODE_DISABLE_GIT_INSTRUCTIONS: '1',
    };
    // What it would ask at its first start.
    const projects = { [project]: { hasTrustDialogAccepted: true } };
    const customApiKeyResponses = { approved: ['any'], rejected: [] };
    const answers = { hasCompletedOnboarding: true, theme: 'dark', customApiKeyResponses, projects };
    writeFileSync(join(home, '.claude.json'), JSON.stringify(answers));
  }

  async print(prompt: string, args: readonly string[]): Promise<Printed> {
    const child = spawn(program, ['-p', prompt, ...args], {
      cwd: this.project,
      env: this.#env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [out, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    return { code: code as number | null, out: out.trim() };
  }

  terminal(args: readonly string[]): Terminal {
    const line = ['stty rows 50 cols 140; exec', program, ...args].join(' ');
    return new Terminal(line, { cwd: this.project, env: this.#env });
  }
}
