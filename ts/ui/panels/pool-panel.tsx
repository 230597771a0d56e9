/** The block pool, as a map and in words. */
import { bytes } from '../parts/format.js';
import { Asked } from './asked.js';
import type { PoolGroup, StatsBody } from './panel-types.js';
import { cellsOf } from './pool-map.js';

const mostCells = 240;

export function PoolPanel() {
  return (
    <Asked<StatsBody> path="/v1/admin/stats">
      {({ engine, model }) =>
        engine === null ? (
          <p class="empty">No model is loaded.</p>
        ) : (
          <>
            <p class="meta">
              {model} · {engine.active} at work, {engine.waiting} waiting · {engine.preemptions} preempted ·{' '}
              {bytes(engine.disk_bytes)} on disk
            </p>
            {engine.pool.map((group, at) => (
              <PoolMap
                key={at}
                group={group}
                name={engine.pool.length > 1 ? `Layer group ${at + 1}` : 'Pool'}
              />
            ))}
          </>
        )
      }
    </Asked>
  );
}

function PoolMap({ group, name }: { readonly group: PoolGroup; readonly name: string }) {
  const { capacity, free, cached, block_bytes: size } = group;
  const used = capacity - free - cached;
  const words = `${used} blocks in use, ${cached} cached, ${free} free, of ${capacity} (${bytes(capacity * size)})`;
  return (
    <figure class="pool">
      <div class="pool-map" role="img" aria-label={`${name}: ${words}`}>
        {cellsOf(group, mostCells).map((cell, at) => (
          <span key={at} class={cell} />
        ))}
      </div>
      <figcaption>
        {name}: <span class="key used" aria-hidden="true" /> {used} in use,{' '}
        <span class="key cached" aria-hidden="true" /> {cached} cached,{' '}
        <span class="key free" aria-hidden="true" /> {free} free, of {capacity} ({bytes(capacity * size)})
      </figcaption>
    </figure>
  );
}
