/** The tickets of a track: an ordered graph without cycles. Pure. */
import { checkFields, checkText, refuse } from '../../arguments.js';
import { StompError } from '../../errors.js';
import type { RunState, Ticket, TicketStatus } from './run.js';

const mostTickets = 200;
const ticketFields = ['id', 'role', 'prompt', 'dependsOn'] as const satisfies readonly (keyof Ticket)[];

/** @throws StompError INVALID_REQUEST, UNSUPPORTED_FIELD */
export function checkTickets(given: unknown): readonly Ticket[] {
  const fits = Array.isArray(given) && given.length > 0 && given.length <= mostTickets;
  const tickets = (fits ? given : refuse('tickets', given, `1 to ${mostTickets} tickets`)).map(checkTicket);
  const ids = new Set<string>();
  for (const { id } of tickets) {
    if (ids.has(id)) refuse('tickets', id, 'ids that are given once');
    ids.add(id);
  }
  for (const { id, dependsOn } of tickets) {
    const unknown = dependsOn.find((one) => !ids.has(one));
    if (unknown !== undefined) refuse(`tickets.${id}.dependsOn`, unknown, 'the id of another ticket');
  }
  refuseCycles(tickets);
  return tickets;
}

function checkTicket(given: unknown, at: number): Ticket {
  checkFields(`tickets[${at}]`, given, ticketFields);
  const { id, role, prompt, dependsOn = [] } = given as Partial<Record<keyof Ticket, unknown>>;
  const field = `tickets[${at}]`;
  if (typeof id !== 'string' || !/^[A-Za-z0-9_.-]{1,64}$/.test(id)) {
    return refuse(`${field}.id`, id, '1 to 64 letters, digits, "_", "." and "-"');
  }
  const text = checkText(`${field}.prompt`, prompt, '', 4 << 20);
  if (text.trim() === '') refuse(`${field}.prompt`, prompt, 'a task in words');
  const isList = Array.isArray(dependsOn) && dependsOn.every((one) => typeof one === 'string');
  return {
    id,
    role: checkText(`${field}.role`, role, 'worker', 200),
    prompt: text,
    dependsOn: isList ? [...new Set(dependsOn)] : refuse(`${field}.dependsOn`, dependsOn, 'a list of ids'),
  };
}

/** Takes away, again and again, what depends on nothing that is left; what stays goes round in circles. */
function refuseCycles(tickets: readonly Ticket[]): void {
  let left = tickets;
  for (;;) {
    const ids = new Set(left.map(({ id }) => id));
    const next = left.filter(({ dependsOn }) => dependsOn.some((one) => ids.has(one)));
    if (next.length === left.length) break;
    left = next;
  }
  if (left.length === 0) return;
  const circle = circleIn(left);
  const message = `The tickets ${circle.join(' -> ')} wait for each other, so that none could begin. Take one dependency out.`;
  throw new StompError('INVALID_REQUEST', message, { fields: { field: 'tickets', cycle: circle } });
}

/** REQUIRES: each of them depends on another of them. */
function circleIn(tickets: readonly Ticket[]): string[] {
  const byId = new Map(tickets.map((ticket) => [ticket.id, ticket]));
  const path: string[] = [];
  let at = tickets[0]?.id ?? '';
  while (!path.includes(at)) {
    path.push(at);
    at = byId.get(at)?.dependsOn.find((one) => byId.has(one)) ?? '';
  }
  return [...path.slice(path.indexOf(at)), at];
}

export function statusOf({ tickets = {} }: RunState, id: string): TicketStatus {
  return tickets[id]?.status ?? 'waiting';
}

/** Those that may begin now, in their order. */
export function readyTickets(tickets: readonly Ticket[], state: RunState): Ticket[] {
  return tickets.filter(
    ({ id, dependsOn }) =>
      statusOf(state, id) === 'waiting' && dependsOn.every((one) => statusOf(state, one) === 'done'),
  );
}

/** Those that can never begin, because one that they depend on was not done. */
export function blockedTickets(tickets: readonly Ticket[], state: RunState): Ticket[] {
  const dead: readonly TicketStatus[] = ['failed', 'rejected', 'blocked'];
  return tickets.filter(
    ({ id, dependsOn }) =>
      statusOf(state, id) === 'waiting' && dependsOn.some((one) => dead.includes(statusOf(state, one))),
  );
}
