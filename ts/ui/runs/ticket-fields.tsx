/** Tickets of a track that is about to begin. */
import { TextField } from '../parts/form-field.js';
import { emptyTicket, type TicketDraft } from './run-input.js';

export interface TicketFieldsProps {
  readonly tickets: readonly TicketDraft[];
  readonly onChange: (tickets: readonly TicketDraft[]) => void;
}

export function TicketFields({ tickets, onChange }: TicketFieldsProps) {
  const change = (at: number, changed: Partial<TicketDraft>) =>
    onChange(tickets.map((ticket, index) => (index === at ? { ...ticket, ...changed } : ticket)));
  return (
    <details>
      <summary>Tickets{tickets.length > 0 ? ` (${tickets.length})` : ''}</summary>
      <p class="hint">With tickets it is a track: each ticket is worked on by a run of its own.</p>
      {tickets.map((ticket, at) => (
        <fieldset key={at} class="ticket">
          <legend>Ticket {at + 1}</legend>
          <div class="columns">
            <TextField label="Id" isRequired value={ticket.id} onChange={(id) => change(at, { id })} />
            <TextField
              label="Role"
              isRequired
              value={ticket.role}
              onChange={(role) => change(at, { role })}
            />
            <TextField
              label="After (ids, with commas)"
              value={ticket.after}
              onChange={(after) => change(at, { after })}
            />
          </div>
          <TextField
            label="Task"
            rows={3}
            isRequired
            value={ticket.prompt}
            onChange={(prompt) => change(at, { prompt })}
          />
          <button
            type="button"
            class="quiet"
            onClick={() => onChange(tickets.filter((_, index) => index !== at))}
          >
            Remove ticket {at + 1}
          </button>
        </fieldset>
      ))}
      <button type="button" onClick={() => onChange([...tickets, emptyTicket])}>
        Add a ticket
      </button>
    </details>
  );
}
