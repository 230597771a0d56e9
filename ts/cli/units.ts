/** Sizes and times as people read them. Pure. */

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Decimal units, three digits: `98.4 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : 1;
  return `${value.toFixed(digits)} ${BYTE_UNITS[unit]}`;
}

/** `0.8 ms`, `12 ms`, `1.24 s`, `3 min`. */
export function formatMs(ms: number): string {
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${ms.toFixed(0)} ms`;
  if (ms < 99_500) return `${(ms / 1000).toFixed(2)} s`;
  return `${(ms / 60_000).toFixed(0)} min`;
}

/** How long ago: `5 s ago`, `3 h ago`. */
export function formatAge(ms: number): string {
  const steps: [number, string][] = [
    [86_400_000, 'd'],
    [3_600_000, 'h'],
    [60_000, 'min'],
  ];
  const found = steps.find(([size]) => ms >= size);
  const [size, unit] = found ?? [1000, 's'];
  return `${Math.max(0, Math.floor(ms / size))} ${unit} ago`;
}

/** `1 agent`, `2 agents`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** `2026-01-31 12:00:00`, in UTC. @param time milliseconds since 1970, or an ISO time */
export function formatTime(time: number | string): string {
  return new Date(time).toISOString().slice(0, 19).replace('T', ' ');
}
