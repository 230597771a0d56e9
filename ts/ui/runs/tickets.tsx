/** The tickets of a track. */
import type { TicketWire } from '../../clutch/wire.js';
import { Badge } from '../parts/badge.js';
import { firstLine } from '../parts/format.js';
import { useServices } from '../state/services.js';

export function Tickets({ tickets }: { readonly tickets: readonly TicketWire[] }) {
  const { openRun } = useServices();
  return (
    <section>
      <h3>Tickets</h3>
      <ol class="tickets">
        {tickets.map((ticket) => (
          <li key={ticket.id}>
            <Badge status={ticket.status} />
            <span class="ticket-id">{ticket.id}</span>
            <span>
              {ticket.role}: {firstLine(ticket.prompt)}
              {ticket.depends_on.length > 0 ? (
                <span class="meta"> after {ticket.depends_on.join(', ')}</span>
              ) : null}
            </span>
            {ticket.run_id === undefined ? null : (
              <button type="button" class="link" onClick={() => openRun.set(ticket.run_id)}>
                show<span class="visually-hidden"> the run of {ticket.id}</span>
              </button>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}
