/** The calls of a step, in the order in which they would be made. */
import { fieldsOf, type StepCall } from './draft.js';
import { type Editing, PayloadFields } from './payload-fields.js';

export function StepCalls({ calls, ...editing }: Editing & { readonly calls: readonly StepCall[] }) {
  return (
    <ol class="calls">
      {calls.map((call, at) => (
        <li key={at}>
          <h4>
            <code>{call.tool}</code>
          </h4>
          <PayloadFields fields={fieldsOf(call.payload, call.path)} {...editing} />
        </li>
      ))}
    </ol>
  );
}
