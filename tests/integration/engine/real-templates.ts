/**
 * Chat templates as the model families have them: those that llama.cpp tests with. They lie in the source archive of
 * llama-cpp-python, which is brought from the package index that pip uses, once.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Template } from '@huggingface/jinja';
import { download, httpSource } from '../../../ts/engine/models/download.js';
import { findWheel, packageIndex, thisPython } from '../../../ts/engine/models/package-index.js';
import { ChatTemplate } from '../../../ts/engine/text/chat-template.js';

const archive = {
  package: 'llama-cpp-python',
  name: 'llama_cpp_python-0.3.36',
  file: 'llama_cpp_python-0.3.36.tar.gz',
  bytes: 76_589_250,
  sha256: '832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e',
};
const inside = `${archive.name}/vendor/llama.cpp/models/templates`;
const cache = join(import.meta.dirname, '../../../node_modules/.cache/stomp-serve');
const folder = join(cache, `templates-${archive.name}`);

/** @throws when there is no Python with pip, or no index. */
export async function bringTemplates(): Promise<void> {
  if (existsSync(folder)) return;
  const fresh = `${folder}.${process.pid}`;
  mkdirSync(fresh, { recursive: true });
  try {
    const { url, headers } = await findWheel(await packageIndex(thisPython), archive);
    const digest = { algorithm: 'sha256', hex: archive.sha256 } as const;
    const source = httpSource({ name: archive.file, bytes: archive.bytes, digest }, url, headers);
    const path = join(fresh, archive.file);
    await download(source, path, { onBytes: () => undefined, signal: undefined, retryDelayMs: undefined });
    execFileSync('tar', ['-xzf', path, '-C', fresh, inside]);
    if (!existsSync(folder)) renameSync(join(fresh, inside), folder);
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** Names of all, without their ending. */
export function templateNames(): string[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.jinja'));
  return files.map((file) => file.replace('.jinja', '')).sort();
}

export function realTemplate(name: string): ChatTemplate {
  const source = readFileSync(join(folder, `${name}.jinja`), 'utf8');
  return new ChatTemplate(source, { bos_token: '<s>', eos_token: '</s>' }, (text) => new Template(text));
}
