/** How long there is left to decide. */
import { duration } from '../parts/format.js';
import { useNow } from '../state/clock.js';

const soonMs = 60_000;

export function Deadline({ at }: { readonly at: number }) {
  const left = at - useNow();
  if (left <= 0) return <span class="deadline soon">time is over</span>;
  return (
    <span class={left < soonMs ? 'deadline soon' : 'deadline'}>
      <span class="visually-hidden">denied in </span>
      {duration(left)}
      <span aria-hidden="true"> left</span>
    </span>
  );
}

export function Ago({ at }: { readonly at: number }) {
  return <>{duration(useNow() - at)} ago</>;
}
