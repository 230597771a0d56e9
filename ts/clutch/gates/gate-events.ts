/** What the bus tells of gates and rules. */
import type { NewEvent } from '../events/event.js';
import { approvalWire, ruleWire } from '../wire.js';
import type { Gate } from './gate.js';
import type { Rule } from './rules.js';

export function openedEvent(gate: Gate): NewEvent {
  return gateEvent('gate_opened', gate, gate.createdAt);
}

export function decidedEvent(gate: Gate): NewEvent {
  return gateEvent('gate_decided', gate, gate.decidedAt ?? gate.createdAt);
}

export function gateEvent(
  type: 'gate_opened' | 'gate_changed' | 'gate_decided',
  gate: Gate,
  at: number,
): NewEvent {
  return { type, run_id: gate.runId, at, body: { approval: approvalWire(gate) } };
}

export function ruleEvent(type: 'rule_made' | 'rule_revoked', rule: Rule, at: number): NewEvent {
  return { type, run_id: rule.runId, at, body: { rule: ruleWire(rule) } };
}
