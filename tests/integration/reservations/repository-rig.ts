/** Real repositories in temporary folders. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gitEnvironment } from '../../../ts/reservations/git/git.js';

export class TestRepository {
  readonly root = mkdtempSync(path.join(tmpdir(), 'reservations-'));

  constructor(files: Readonly<Record<string, string | Buffer>> = {}) {
    this.git('init', '-q', '-b', 'main');
    this.git('config', 'user.name', 'Test');
    this.git('config', 'user.email', 'test@example.com');
    this.write(files);
  }

  git(...args: string[]): string {
    return execFileSync('git', args, { cwd: this.root, env: gitEnvironment(), encoding: 'utf8' }).trimEnd();
  }

  write(files: Readonly<Record<string, string | Buffer>>): void {
    for (const [name, text] of Object.entries(files)) {
      const file = path.join(this.root, name);
      mkdirSync(path.dirname(file), { recursive: true });
      writeFileSync(file, text);
    }
  }

  commit(message = 'change'): string {
    this.git('add', '-A');
    this.git('commit', '-q', '-m', message);
    return this.git('rev-parse', 'HEAD');
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
