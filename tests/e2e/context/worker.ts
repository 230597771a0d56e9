/** Scripts of this folder as processes that may be killed. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';

/** @returns the number of its steps, or undefined when it was killed */
export function runWorker(script: string, setup: object): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const args = [join(import.meta.dirname, script), JSON.stringify(setup)];
    execFile(process.execPath, args, (error, stdout, stderr) => {
      if (!error) resolve(Number(stdout));
      else if (error.signal === 'SIGKILL') resolve(undefined);
      else reject(new Error(stderr));
    });
  });
}
