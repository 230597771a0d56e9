/** The table at the end of a stress run. Pure. */
import { type Column, table } from '../table.js';
import { formatMs } from '../units.js';
import type { ScenarioReport } from './run.js';

const right = (title: string): Column => ({ title, align: 'right' });

export function reportTable(rows: readonly ScenarioReport[]): string {
  const columns = [
    { title: 'SCENARIO' },
    right('OPERATIONS'),
    right('BUSY'),
    right('REFUSED'),
    right('WAIT P50'),
    right('WAIT P99'),
    right('HAND-OVER P50'),
    right('HAND-OVER P99'),
    right('LOST UPDATES'),
  ];
  return table(
    columns,
    rows.map(({ scenario, operations, refused, waitsMs, handOversMs, lost }) => {
      const { RESOURCE_BUSY = 0, DB_BUSY = 0, ...others } = refused;
      const rest = Object.values(others).reduce((sum, count) => sum + count, 0);
      return [
        scenario,
        String(operations),
        String(RESOURCE_BUSY + DB_BUSY),
        String(rest),
        percentile(waitsMs, 0.5),
        percentile(waitsMs, 0.99),
        percentile(handOversMs, 0.5),
        percentile(handOversMs, 0.99),
        String(lost),
      ];
    }),
  );
}

/** The smallest value that so large a share does not exceed. */
export function percentile(values: readonly number[], share: number): string {
  if (values.length === 0) return '-';
  const sorted = [...values].sort((a, b) => a - b);
  return formatMs(sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0);
}
