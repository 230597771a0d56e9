/** What of an approval is on display: it changes only when the person looks again. */
import { useMemo, useState } from 'preact/hooks';
import type { ApprovalWire } from '../../clutch/wire.js';
import { type Draft, type Reading, readDraft } from './draft.js';
import { type FieldDiff, payloadDiff } from './line-diff.js';

export interface Shown {
  /** The revision that is on display, and that a decision names. */
  readonly seen: ApprovalWire;
  readonly draft: Draft;
  readonly reading: Reading;
  /** What the edits change. */
  readonly changes: readonly FieldDiff[];
  /** There is a newer revision, which is not on display yet. */
  readonly isOutdated: boolean;
  readonly edit: (key: string, written: string) => void;
  readonly lookAgain: () => void;
  /** Whether it has been there long enough to be read at all. */
  readonly isFresh: () => boolean;
}

/** Nobody decides by a key on what has only just appeared under it. */
const freshMs = 400;

export function useShown(latest: ApprovalWire): Shown {
  const [seen, setSeen] = useState(latest);
  const [since, setSince] = useState(() => performance.now());
  const [draft, setDraft] = useState<Draft>({});
  const isDecided = latest.status !== 'pending';
  // Once it is decided there is nothing more to protect: what was decided is shown.
  const shown = isDecided ? latest : seen;
  const reading = useMemo(() => readDraft(shown.payload, isDecided ? {} : draft), [shown, draft, isDecided]);
  const changes = useMemo(
    () =>
      isDecided ? payloadDiff(shown.proposed, shown.payload) : payloadDiff(shown.payload, reading.payload),
    [shown, reading, isDecided],
  );
  return {
    seen: shown,
    draft,
    reading,
    changes,
    isOutdated: !isDecided && latest.revision !== seen.revision,
    edit: (key, written) => setDraft((before) => ({ ...before, [key]: written })),
    lookAgain: () => {
      setSeen(latest);
      setSince(performance.now());
    },
    isFresh: () => performance.now() - since < freshMs,
  };
}
