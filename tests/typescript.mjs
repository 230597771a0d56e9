/**
 * Lets threads that tests start run the TypeScript sources, which vitest compiles for its own process only. Given to
 * node with `--import`, which threads take over.
 */
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';

if (!isMainThread) register('./typescript-hooks.mjs', import.meta.url);
