/** Deciding an approval, exactly as it is shown. */
import { useRef, useState } from 'preact/hooks';
import type { ApprovalWire } from '../../clutch/wire.js';
import { ApiError } from '../api/client.js';
import { type Services, tell, useServices } from '../state/services.js';
import type { Payload } from './draft.js';

export interface DecisionInput {
  readonly decision: 'approve' | 'reject' | 'abort';
  readonly edits?: Payload | undefined;
  readonly reason?: string | undefined;
  readonly remember?: { readonly tool: string; readonly folder: string } | undefined;
}

export interface Deciding {
  /** As the server has last said it is, if that is newer than what the events have brought. */
  readonly answer: ApprovalWire | undefined;
  readonly isBusy: boolean;
  /** Why the last decision was not taken, where the person can do something about it. */
  readonly problem: string | undefined;
  readonly decide: (seen: ApprovalWire, input: DecisionInput) => Promise<void>;
}

const said = { approve: 'Approved', reject: 'Rejected', abort: 'Run aborted' } as const;

export function useDecision(): Deciding {
  const services = useServices();
  const [answer, setAnswer] = useState<ApprovalWire>();
  const [problem, setProblem] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const busy = useRef(false);

  const refused = async (id: string, error: unknown) => {
    if (!(error instanceof ApiError)) throw error;
    if (!isOvertaken(error)) return setProblem(remedy(error));
    tell(services, error.message);
    setAnswer(await current(services, id));
  };
  const decide = async (seen: ApprovalWire, input: DecisionInput) => {
    // The state is drawn later than a second click comes.
    if (busy.current) return;
    busy.current = true;
    setBusy(true);
    setProblem(undefined);
    try {
      const body = { ...input, revision: seen.revision };
      setAnswer(await services.api.json(resolvePath(seen.id), { method: 'POST', body }));
      tell(services, `${said[input.decision]}: ${seen.preview.title}`);
    } catch (error) {
      await refused(seen.id, error);
    } finally {
      busy.current = false;
      setBusy(false);
    }
  };
  return { answer, isBusy, problem, decide };
}

function resolvePath(id: string): string {
  return `/v1/approvals/${encodeURIComponent(id)}/resolve`;
}

/** Somebody else was faster, its time was over, or it shows something else by now: nothing is wrong. */
function isOvertaken({ status }: ApiError): boolean {
  return status === 404 || status === 409 || status === 410;
}

/** Undefined when it cannot be had: then the events will tell. */
function current({ api }: Services, id: string): Promise<ApprovalWire | undefined> {
  return api.json<ApprovalWire>(`/v1/approvals/${encodeURIComponent(id)}`).catch(() => undefined);
}

function remedy(error: ApiError): string {
  if (error.isForbidden) return `${error.message} Enter the approver token above.`;
  if (error.status === 0) return `${error.message} Nothing was decided, as far as is known; try again.`;
  return error.message;
}
