/** A question to the person: the answer is what the gate waits for. */
import { useId } from 'preact/hooks';
import { keyOf, type Payload } from './draft.js';
import type { Editing } from './payload-fields.js';

/** The answer as JSON, as the field of the payload has it. */
export const answerKey = keyOf(['answer']);

export function Question({ payload, draft, isFixed, onEdit }: Editing & { readonly payload: Payload }) {
  const id = useId();
  const choices = Array.isArray(payload.choices) ? payload.choices.map(String) : [];
  const answer = answerOf(draft[answerKey]) ?? (typeof payload.answer === 'string' ? payload.answer : '');
  const choose = (text: string) => onEdit(answerKey, JSON.stringify(text));
  if (choices.length > 0) {
    return (
      <fieldset class="choices" disabled={isFixed}>
        <legend class="question">{String(payload.question)}</legend>
        {choices.map((choice, at) => (
          <label key={choice} class="choice">
            <input
              type="radio"
              name={id}
              data-editable={at === 0 ? true : undefined}
              checked={answer === choice}
              onInput={() => choose(choice)}
            />
            <span>{choice}</span>
          </label>
        ))}
      </fieldset>
    );
  }
  return (
    <div class="field">
      <label for={id} class="question">
        {String(payload.question)}
      </label>
      <textarea
        id={id}
        data-editable
        rows={3}
        value={answer}
        readOnly={isFixed}
        onInput={(event) => choose(event.currentTarget.value)}
      />
    </div>
  );
}

function answerOf(written: string | undefined): string | undefined {
  return written === undefined ? undefined : String(JSON.parse(written));
}
