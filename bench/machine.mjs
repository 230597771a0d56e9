// What the figures were measured on.
import { readFileSync } from 'node:fs';
import { arch, cpus, platform, release, totalmem } from 'node:os';

const interesting = ['avx2', 'avx512f', 'avx512_vnni', 'amx_int8', 'amx_bf16', 'asimddp', 'i8mm'];

function flags() {
  try {
    const line = readFileSync('/proc/cpuinfo', 'utf8').match(/^(?:flags|Features)\s*:(.*)$/m);
    const all = new Set((line?.[1] ?? '').trim().split(/\s+/));
    return interesting.filter((flag) => all.has(flag));
  } catch {
    return []; // no /proc here
  }
}

/** Facts for the head of the CSV; nothing that tells whose machine it is. */
export function machine() {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    flags: flags().join(' '),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
  };
}

/** A processor's name for a file name: `Intel(R) Xeon(R) Processor @ 2.50GHz` is `xeon-2.5ghz`. */
export function shortCpuName(cpu) {
  const words = cpu
    .toLowerCase()
    .replaceAll(/\((?:r|tm)\)/g, '')
    .replace(/(\d+\.\d)0ghz/, '$1ghz')
    .split(/[^a-z0-9.]+/)
    .filter((word) => word && !['intel', 'amd', 'cpu', 'processor', 'core'].includes(word));
  return words.join('-') || 'unknown';
}
