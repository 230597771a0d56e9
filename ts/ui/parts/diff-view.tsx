/** A diff whose signs are text, so that colour only helps. */
import type { DiffLine } from '../approvals/line-diff.js';

export interface DiffViewProps {
  readonly label: string;
  readonly lines: readonly DiffLine[];
}

export function DiffView({ label, lines }: DiffViewProps) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, and must do so by keys too
    <section class="diff" aria-label={label} tabIndex={0} data-scroll>
      <div class="diff-lines">
        {lines.map((line, at) => (
          <Line key={at} {...line} />
        ))}
      </div>
    </section>
  );
}

function Line({ sign, text }: DiffLine) {
  if (sign === '~') return <div class="line note">{text}</div>;
  const content = (
    <>
      <span class="sign">{sign}</span>
      <span class="code">{text === '' ? '\u00a0' : text}</span>
    </>
  );
  if (sign === '+') return <ins class="line added">{content}</ins>;
  if (sign === '-') return <del class="line removed">{content}</del>;
  return <div class="line">{content}</div>;
}
