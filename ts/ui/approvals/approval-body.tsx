/** What exactly would happen: the payload, the preview, and what edits change. */
import type { ApprovalWire } from '../../clutch/wire.js';
import { DiffView } from '../parts/diff-view.js';
import { callsOf, fieldsOf, type Payload } from './draft.js';
import { unifiedLines } from './line-diff.js';
import { type Editing, PayloadFields } from './payload-fields.js';
import { Question } from './question.js';
import { StepCalls } from './step-calls.js';
import type { Shown } from './use-shown.js';

export interface ApprovalBodyProps {
  readonly shown: Shown;
  readonly isFixed: boolean;
}

export function ApprovalBody({ shown, isFixed }: ApprovalBodyProps) {
  const { seen, draft, reading, changes, edit } = shown;
  const editing: Editing = { draft, reading, isFixed, onEdit: edit };
  const { diff } = seen.preview;
  const isEdited = seen.kind !== 'ask' && changes.length > 0;
  return (
    <>
      {diff === undefined || diff === '' ? null : (
        <section class="preview">
          <h4>What would change in files{isEdited ? ', without the edit' : ''}</h4>
          <DiffView label="What would change in files" lines={unifiedLines(diff)} />
        </section>
      )}
      <Content approval={seen} editing={editing} />
      {isEdited ? (
        <section class="changes">
          <h4>{seen.status === 'pending' ? 'Your edit changes' : 'Changed before it was approved'}</h4>
          {changes.map(({ key, label, lines }) => (
            <div key={key}>
              <p class="diff-name">{label}</p>
              <DiffView label={`Edit of ${label}`} lines={lines} />
            </div>
          ))}
        </section>
      ) : null}
    </>
  );
}

function Content({ approval, editing }: { readonly approval: ApprovalWire; readonly editing: Editing }) {
  const payload: Payload = approval.payload;
  if (approval.kind === 'ask') {
    const { question, choices, answer, ...about } = payload;
    return (
      <>
        <Question payload={payload} {...editing} />
        <PayloadFields fields={fieldsOf(about)} {...editing} isFixed />
      </>
    );
  }
  const calls = callsOf(payload);
  if (!calls) return <PayloadFields fields={fieldsOf(payload)} {...editing} />;
  const { calls: _, ...about } = payload;
  return (
    <>
      <PayloadFields fields={fieldsOf(about)} {...editing} isFixed />
      <StepCalls calls={calls} {...editing} />
    </>
  );
}
