/** The calls of a step, in the order in which they would be made. */
import { DiffView } from '../parts/diff-view.js';
import { fieldsOf, type StepCall } from './draft.js';
import { unifiedLines } from './line-diff.js';
import { type Editing, PayloadFields } from './payload-fields.js';

export function StepCalls({ calls, ...editing }: Editing & { readonly calls: readonly StepCall[] }) {
  return (
    <ol class="calls">
      {calls.map((call, at) => (
        <li key={at}>
          <h4>
            <code>{call.tool}</code> {call.title}
          </h4>
          {call.diff === undefined ? null : (
            <DiffView label={`What call ${at + 1} would change`} lines={unifiedLines(call.diff)} />
          )}
          <PayloadFields fields={fieldsOf(call.payload, call.path)} {...editing} />
        </li>
      ))}
    </ol>
  );
}
