/** Approvals as a person reads them in a terminal. What a model wrote may hold anything, also what moves the cursor. */
import type { ApprovalWire } from '../../clutch/wire.js';
import { hiddenCharacters } from '../../hidden-characters.js';
import { formatTime, plural } from '../units.js';
import type { EndCheck, FolderReport } from './audit.js';

/** All of what would happen: nobody is to agree to what was not shown. */
export function approvalView(approval: ApprovalWire): string {
  const { id, run_id: run, kind, tool, status, requester, revision, preview, payload } = approval;
  const fields = Object.entries(payload).map(([name, value]) => fieldView(name, value));
  return [
    `${id}  ${status}, revision ${revision}`,
    `  ${requester === run ? run : `${requester} of the run ${run}`} asks (${tool ?? kind}): ${oneLine(preview.title)}`,
    ...fields,
    ...(preview.diff === undefined ? [] : ['  What would change:', indented(preview.diff)]),
    `  ${fateOf(approval)}`,
  ].join('\n');
}

export function auditView({ faults, entries, ends }: FolderReport): string {
  const found = faults.map(({ file, seq, problem }) => `${file}, entry ${seq}: ${problem}`);
  const told = `${entries} entries, ${faults.length === 0 ? 'all as they were written' : `${faults.length} faults`}`;
  return printable([...found, told, endsView(ends)].join('\n'));
}

function endsView(ends: EndCheck): string {
  if (ends.checked) return `Ends checked: by ${plural(ends.runs, 'run')} in ${ends.source}.`;
  const why = ends.why.replace(/\.$/, '');
  return `Ends not checked: ${why}. Whether entries are missing there is not known; see --port and --database.`;
}

function fateOf({ status, deadline_at: deadline, decided_by: by, reason }: ApprovalWire): string {
  if (status === 'pending') return `Denied unless it is decided until ${formatTime(deadline)} (UTC).`;
  return printable(`By ${by ?? 'nobody'}${reason === undefined ? '' : `: ${reason}`}`);
}

/** The names of fields may be the model's own, too. */
function fieldView(name: string, value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value, undefined, 2);
  const label = `  ${/^[\w.-]+$/.test(name) ? name : printable(JSON.stringify(name))}:`;
  const shown = text.includes('\n') ? `${label}\n${indented(text)}` : `${label} ${printable(text)}`;
  const hidden = hiddenCharacters(name + text).join(', ');
  if (hidden === '') return shown;
  return `${shown}\n    It holds characters that cannot be seen, or that change the order of others: ${hidden}.`;
}

function oneLine(text: string): string {
  return printable(text).replace(/\s+/g, ' ');
}

function indented(text: string): string {
  return printable(text).replace(/^/gm, '    ');
}

/** Without what a terminal would carry out; lines and tabs stay. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}
