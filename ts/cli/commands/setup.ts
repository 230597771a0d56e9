/** `stomp-serve setup`: brings what a package leaves out because few need it or it is large. */

import { setUpMlx } from '../../engine/mlx-setup.js';
import { StompError } from '../../errors.js';
import type { Command, Invocation } from '../command.js';
import { ProgressBar } from '../progress.js';
import { print } from '../terminal.js';

export const setup: Command = {
  name: 'setup',
  usage: 'mlx [WHEEL]',
  summary:
    'Bring the libraries of the MLX executor: the pinned wheel of MLX, from the Python package index (STOMP_PACKAGE_INDEX ' +
    "names another one) or from a file. They are put into the package's folder, or where that cannot be written " +
    'under ~/.cache/stomp-serve (XDG_CACHE_HOME)',
  arguments: [1, 2],
  run: setUp,
};

async function setUp({ positionals, terminal }: Invocation): Promise<number> {
  const [what, wheelFile] = positionals;
  if (what !== 'mlx') {
    throw new StompError('CONFIG_INVALID', `There is no "${what}" to set up. There is: mlx.`, {
      fields: { field: 'arguments', value: String(what), allowed: 'mlx' },
    });
  }
  const progress = new ProgressBar(terminal.stderr);
  const stop = new AbortController();
  const abort = () => stop.abort();
  process.once('SIGINT', abort);
  try {
    const { library, brought } = await setUpMlx({
      wheelFile,
      onProgress: progress.onLoad,
      signal: stop.signal,
    });
    progress.done();
    print(
      terminal,
      `${brought ? 'The MLX executor is ready' : 'The MLX executor was there already'}: ${library}`,
    );
    return 0;
  } finally {
    progress.done();
    process.off('SIGINT', abort);
  }
}
