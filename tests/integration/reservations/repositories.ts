/** Real repositories in temporary folders. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';
import { gitEnvironment } from '../../../ts/reservations/git/git.js';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

export function newFolder(): string {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'stomp-git-')));
  folders.push(folder);
  return folder;
}

/** A file's content; null takes it away. */
export type Content = string | Uint8Array | null | { link: string } | { script: string };

export class TestRepository {
  readonly folder: string;

  constructor(folder = newFolder(), ...initArguments: string[]) {
    this.folder = folder;
    this.git('init', '--quiet', '--initial-branch=main', ...initArguments);
    this.git('config', 'commit.gpgsign', 'false');
    this.git('config', 'core.autocrlf', 'false');
  }

  git(...args: string[]): string {
    return gitIn(this.folder, ...args);
  }

  /** The same with something on its standard input. */
  feed(input: string, ...args: string[]): string {
    const options = { cwd: this.folder, env: gitEnvironment(), encoding: 'utf8', input } as const;
    return execFileSync('git', args, options).trimEnd();
  }

  write(files: Record<string, Content>): void {
    for (const [name, content] of Object.entries(files)) put(path.join(this.folder, name), content);
  }

  /** Commits the files on the branch that is checked out. @returns the commit's id */
  commit(files: Record<string, Content>): string {
    this.write(files);
    this.git('add', '--all', '--force');
    this.git('commit', '--quiet', '--allow-empty', '--message', 'change');
    return this.git('rev-parse', 'HEAD');
  }

  /** Begins a branch at `from` and commits the files there. */
  branch(name: string, files: Record<string, Content>, from = 'main'): string {
    this.git('checkout', '--quiet', '-b', name, from);
    const id = this.commit(files);
    this.git('checkout', '--quiet', 'main');
    return id;
  }
}

export function gitIn(folder: string, ...args: string[]): string {
  const who = {
    GIT_AUTHOR_NAME: 'a',
    GIT_AUTHOR_EMAIL: 'a@b',
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@b',
  };
  const env = { ...gitEnvironment(), ...who, GIT_ALLOW_PROTOCOL: 'file' };
  return execFileSync('git', args, { cwd: folder, env, encoding: 'utf8', stdio: 'pipe' }).trimEnd();
}

function put(file: string, content: Content): void {
  rmSync(file, { recursive: true, force: true });
  if (content === null) return;
  mkdirSync(path.dirname(file), { recursive: true });
  if (typeof content === 'string' || content instanceof Uint8Array) writeFileSync(file, content);
  else if ('link' in content) symlinkSync(content.link, file);
  else writeFileSync(file, content.script, { mode: 0o755 });
}
