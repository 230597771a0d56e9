/** The frame of a change: holds a resource for it, and takes the times. */
import { machineClock, type ResourceDescriptor, type StompGuard } from '../../../guard/index.js';
import type { Done, ScenarioName, Worker } from '../scenario.js';

export async function guarded(
  { maasl, agentId, ttlMs, maxWaitMs }: Worker,
  scenario: ScenarioName,
  target: string,
  resource: ResourceDescriptor,
  change: (guard: StompGuard) => Promise<number>,
): Promise<Done> {
  const askedAt = machineClock.now();
  return maasl.callWithStompGuard(
    async (guard) => {
      const acquiredAt = machineClock.now();
      const count = await change(guard);
      // What was changed within was accepted under the same token.
      guard.committed();
      const [[key, token] = ['', 0n]] = guard.tokens;
      const now = machineClock.now();
      const releasedAt = guard.held ? now : undefined;
      return { scenario, target, count, key, token: token.toString(), askedAt, acquiredAt, releasedAt };
    },
    [resource],
    { intent: `stress_${scenario}`, agentId, sessionId: agentId, ttlMs, maxWaitMs },
  );
}
