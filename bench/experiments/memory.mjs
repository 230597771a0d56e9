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

/** MB (2^20 bytes), once threads that end have ended. */
export async function residentMb() {
  await new Promise((resolve) => setTimeout(resolve, 300));
  collect();
  return process.memoryUsage.rss() / 2 ** 20;
}

/** Of those MB, what V8 has for JavaScript's objects, used or not. */
export const heapMb = () => process.memoryUsage().heapTotal / 2 ** 20;
