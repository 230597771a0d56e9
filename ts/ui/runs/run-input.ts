/** What a form says, as the body of `POST /v1/runs`. Pure. */

export interface TicketDraft {
  readonly id: string;
  readonly role: string;
  readonly prompt: string;
  /** Ids, with commas between them. */
  readonly after: string;
}

export interface RunDraft {
  readonly prompt: string;
  readonly base_dir: string;
  readonly provider: string;
  readonly model: string;
  readonly gate: string;
  readonly first_tool: string;
  readonly max_tokens: string;
  readonly temperature: string;
  /** One a line. */
  readonly file_items: string;
  readonly stable_md: string;
  readonly disc_text: string;
  readonly tickets: readonly TicketDraft[];
}

export const emptyRun: RunDraft = {
  prompt: '',
  base_dir: '',
  provider: '',
  model: '',
  gate: '',
  first_tool: '',
  max_tokens: '',
  temperature: '',
  file_items: '',
  stable_md: '',
  disc_text: '',
  tickets: [],
};

export const emptyTicket: TicketDraft = { id: '', role: '', prompt: '', after: '' };

/** Only what is filled in: the rest has defaults, which the server knows. */
export function runInput(draft: RunDraft): Readonly<Record<string, unknown>> {
  const { max_tokens, temperature, file_items, tickets, ...texts } = draft;
  const said = Object.entries(texts).filter(([, text]) => text.trim() !== '');
  const files = split(file_items, '\n');
  return {
    ...Object.fromEntries(said),
    ...(max_tokens.trim() === '' ? {} : { max_tokens: Number(max_tokens) }),
    ...(temperature.trim() === '' ? {} : { temperature: Number(temperature) }),
    ...(files.length === 0 ? {} : { file_items: files }),
    ...(tickets.length === 0 ? {} : { tickets: tickets.map(ticketInput) }),
  };
}

function ticketInput({ id, role, prompt, after }: TicketDraft): object {
  return { id: id.trim(), role: role.trim(), prompt, depends_on: split(after, ',') };
}

function split(text: string, separator: string): string[] {
  return text
    .split(separator)
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
