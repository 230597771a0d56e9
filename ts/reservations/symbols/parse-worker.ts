/** What runs on the threads that read files: `parse-threads.ts` starts them. */
import { parentPort } from 'node:worker_threads';
import { encode } from './coding.js';
import { readFile } from './read-file.js';

export interface ParseTask {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** In the order of the tasks, encoded; or why a thread could do none of them. */
export type ParseReply = { readonly contents: readonly string[] } | { readonly error: string };

async function answer(tasks: readonly ParseTask[]): Promise<ParseReply> {
  try {
    const contents: string[] = [];
    for (const { path, bytes } of tasks) contents.push(encode(await readFile(path, bytes)));
    return { contents };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

parentPort?.on('message', async (tasks: readonly ParseTask[]) =>
  parentPort?.postMessage(await answer(tasks)),
);
