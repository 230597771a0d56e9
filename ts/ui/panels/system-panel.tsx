/** How the server's process is. */
import { useEffect, useState } from 'preact/hooks';
import type { ClutchState, SystemSample } from '../../clutch/events/state.js';
import { bytes } from '../parts/format.js';

const kept = 120;

export function SystemPanel({ state }: { readonly state: ClutchState }) {
  const { system } = state;
  const [samples, setSamples] = useState<readonly SystemSample[]>([]);
  useEffect(() => {
    if (system) setSamples((before) => [...before, system].slice(-kept));
  }, [system]);
  if (!system) return <p class="empty">The server has not said yet.</p>;
  return (
    <dl class="system">
      <Figure
        name="Processor"
        words={`${Math.round(system.cpu_percent)} % of a core`}
        values={samples.map(({ cpu_percent }) => cpu_percent)}
        least={100}
      />
      <Figure
        name="Memory"
        words={`${bytes(system.rss_bytes)}, of which ${bytes(system.heap_bytes)} heap`}
        values={samples.map(({ rss_bytes }) => rss_bytes)}
        least={1}
      />
      <Figure
        name="Event loop"
        words={`${system.loop_delay_p99_ms.toFixed(1)} ms late`}
        values={samples.map(({ loop_delay_p99_ms }) => loop_delay_p99_ms)}
        least={50}
      />
      <Figure
        name="Events to record"
        words={String(system.queue_depth)}
        values={samples.map(({ queue_depth }) => queue_depth)}
        least={10}
      />
    </dl>
  );
}

interface FigureProps {
  readonly name: string;
  readonly words: string;
  readonly values: readonly number[];
  /** The height of the curve stands for at least so much. */
  readonly least: number;
}

function Figure({ name, words, values, least }: FigureProps) {
  const most = Math.max(least, ...values);
  const points = values.map((value, at) => `${at + kept - values.length},${20 - (value / most) * 19}`);
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {words}
        <svg class="curve" viewBox={`0 0 ${kept} 20`} preserveAspectRatio="none" aria-hidden="true">
          <polyline points={points.join(' ')} />
        </svg>
      </dd>
    </div>
  );
}
