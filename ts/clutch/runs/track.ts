/** A track: an ordered graph of tickets, each of which a run of its own works on, as soon as those before it are done. */
import type { Gate } from '../gates/gate.js';
import { decided, denial } from './gate-wait.js';
import type { Run, Ticket, TicketStatus } from './run.js';
import type { RunContext } from './run-context.js';
import { blockedTickets, readyTickets, statusOf } from './tickets.js';

/** @throws AbortedAtGate; StompError LEASE_LOST; what `stop` says */
export async function workOnTrack(context: RunContext, tickets: readonly Ticket[]): Promise<void> {
  const track = new Track(context, tickets);
  await track.work();
}

class Track {
  readonly #context: RunContext;
  readonly #tickets: readonly Ticket[];
  readonly #working = new Map<string, Promise<void>>();
  /** Changes of the state are written one after another: each is made of the one before. */
  #written: Promise<void> = Promise.resolve();

  constructor(context: RunContext, tickets: readonly Ticket[]) {
    this.#context = context;
    this.#tickets = tickets;
  }

  async work(): Promise<void> {
    for (;;) {
      await this.#block();
      for (const ticket of this.#open()) this.#begin(ticket);
      if (this.#working.size === 0) break;
      await Promise.race(this.#working.values());
    }
    await this.#finish();
  }

  /** Those that may begin, and those that an earlier worker has begun. */
  #open(): Ticket[] {
    const { state } = this.#context.record.run;
    const begun = this.#tickets.filter(({ id }) => statusOf(state, id) === 'running');
    return [...begun, ...readyTickets(this.#tickets, state)].filter(({ id }) => !this.#working.has(id));
  }

  async #block(): Promise<void> {
    for (;;) {
      const blocked = blockedTickets(this.#tickets, this.#context.record.run.state);
      if (blocked.length === 0) return;
      for (const { id } of blocked) await this.#set(id, 'blocked');
    }
  }

  #begin(ticket: Ticket): void {
    const work = this.#workOn(ticket);
    // Of several that fail the first one is told; the others end with the track.
    work.catch(() => undefined);
    this.#working.set(ticket.id, work);
  }

  async #workOn(ticket: Ticket): Promise<void> {
    const outcome = await this.#run(ticket);
    await this.#set(ticket.id, outcome);
    this.#working.delete(ticket.id);
  }

  async #run(ticket: Ticket): Promise<TicketStatus> {
    const { record, systems, stop } = this.#context;
    const contextMd = await this.#resultsBefore(ticket);
    const given = { ticket_id: ticket.id, role: ticket.role, prompt: ticket.prompt, context_md: contextMd };
    const gate = await this.#decided(ticket, given);
    if (gate && denial(gate) !== undefined) return 'rejected';
    const { role, prompt, context_md } = (gate?.payload ?? given) as typeof given;
    const id = childId(record.run, ticket.id);
    if (record.run.state.tickets?.[ticket.id]?.runId !== id) await this.#set(ticket.id, 'running', id);
    const request = { id, parent: record.run, ticketId: ticket.id, role, prompt, contextMd: context_md };
    const child = await systems.children.finish(request, stop);
    return child.status === 'done' ? 'done' : 'failed';
  }

  async #decided(ticket: Ticket, payload: Record<string, string>): Promise<Gate | undefined> {
    const { record } = this.#context;
    if (record.run.request.gate === 'none') return undefined;
    return decided(this.#context, {
      id: `${record.run.id}.${ticket.id}.spawn`,
      kind: 'spawn',
      ticketId: ticket.id,
      payload,
      preview: async (shown) => ({ title: `Begin a run as ${shown.role} for the ticket ${ticket.id}` }),
    });
  }

  /** The last words of the runs that it waited for. */
  async #resultsBefore({ dependsOn }: Ticket): Promise<string> {
    const { record, systems } = this.#context;
    const parts = await Promise.all(
      this.#tickets
        .filter(({ id }) => dependsOn.includes(id))
        .map(async ({ id, role }) => {
          const run = await systems.children.find(childId(record.run, id));
          return `## ${id} (${role})\n\n${run?.state.output ?? ''}`;
        }),
    );
    return parts.length === 0 ? '' : ['# What went before', ...parts].join('\n\n');
  }

  #set(id: string, status: TicketStatus, runId?: string): Promise<void> {
    const { record } = this.#context;
    this.#written = this.#written.then(() => {
      const { state } = record.run;
      const before = state.tickets?.[id];
      const next = { ...before, status, ...(runId === undefined ? {} : { runId }) };
      const tickets = { ...state.tickets, [id]: next };
      return record.change({ status: 'running_tool', state: { ...state, tickets } });
    });
    return this.#written;
  }

  async #finish(): Promise<void> {
    const { record } = this.#context;
    const { state } = record.run;
    const lines = this.#tickets.map(({ id }) => `${id}: ${statusOf(state, id)}`);
    const undone = this.#tickets.filter(({ id }) => statusOf(state, id) !== 'done').length;
    const output = lines.join('\n');
    const error = {
      code: 'TRACK_INCOMPLETE',
      message: `${undone} of ${this.#tickets.length} tickets are not done.`,
    } as const;
    const outcome = undone === 0 ? ({ status: 'done' } as const) : ({ status: 'error', error } as const);
    await record.change({ ...outcome, state: { ...state, output }, ended: true });
  }
}

function childId(track: Run, ticketId: string): string {
  return `${track.id}.${ticketId}`;
}
