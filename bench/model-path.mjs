// Prints where the default model lies, downloading it when it is not there yet.
import { defaultModel, Engine } from '../dist/index.js';
import { report } from './workload.mjs';

const engine = await Engine.load(defaultModel, { cacheDir: null, cacheBudgetMb: 64, maxContext: 512 });
report('model', engine.info.path, 'path');
await engine.close();
