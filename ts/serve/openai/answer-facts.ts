/** What every answer of OpenAI's protocol says beside its choices. */
import { randomUUID } from 'node:crypto';
import type { ServedEngine, ServedModel } from '../service.js';

export interface AnswerFacts {
  /** Prefix, hyphen, 32 hex digits. */
  readonly id: string;
  /** Unix time in seconds. */
  readonly created: number;
  readonly model: string;
  readonly fingerprint: string;
  readonly agentId: string;
}

export function answerFacts(
  prefix: string,
  model: ServedModel,
  engine: ServedEngine,
  agentId: string,
): AnswerFacts {
  return {
    id: `${prefix}-${randomUUID().replaceAll('-', '')}`,
    created: Math.floor(Date.now() / 1000),
    model: model.id,
    fingerprint: `fp_${engine.info.fingerprint.slice(0, 10)}`,
    agentId,
  };
}
