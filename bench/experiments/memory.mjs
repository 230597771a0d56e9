// Resident memory of this process, after everything that JavaScript no longer needs is gone.
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** Collects what nobody holds; twice, since finalisers of the first let go of more. */
function collect() {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc');
  gc();
  gc();
}

/**
 * MB (2^20 bytes), once threads that end have ended: of the process, and of that what is not V8's heap. V8 keeps room for
 * new objects after a large file was read, some 40 MB, and gives it back whenever it likes.
 * @returns {Promise<{ total: number, native: number }>}
 */
export async function residentMb() {
  await new Promise((resolve) => setTimeout(resolve, 300));
  collect();
  const { rss, heapTotal } = process.memoryUsage();
  return { total: rss / 2 ** 20, native: (rss - heapTotal) / 2 ** 20 };
}
