/** A status in a word, with a dot of its colour. */

type Tone = 'quiet' | 'busy' | 'wait' | 'good' | 'bad';

const tones: Readonly<Record<string, Tone>> = {
  idle: 'quiet',
  sending: 'busy',
  awaiting_approval: 'wait',
  running_tool: 'busy',
  fetching: 'busy',
  done: 'good',
  error: 'bad',
  aborted: 'quiet',
  pending: 'wait',
  approved: 'good',
  edited: 'good',
  rejected: 'bad',
  expired: 'bad',
  waiting: 'quiet',
  running: 'busy',
  failed: 'bad',
  blocked: 'quiet',
  unknown: 'wait',
  active: 'good',
};

const words: Readonly<Record<string, string>> = {
  sending: 'asking the model',
  awaiting_approval: 'waits for you',
  running_tool: 'running a tool',
  edited: 'approved with edits',
  started: 'begun, outcome not known yet',
  error: 'failed',
};

export function Badge({ status }: { readonly status: string }) {
  return (
    <span class={`badge ${tones[status] ?? 'quiet'}`}>
      <span class="dot" aria-hidden="true" />
      {words[status] ?? status.replaceAll('_', ' ')}
    </span>
  );
}
