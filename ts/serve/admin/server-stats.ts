/** `GET /v1/admin/stats`: the figures of the engine and of the server around it. */
import type { EngineStats } from '../../engine/types.js';
import type { Service } from '../service.js';

export async function serverStats(service: Service): Promise<object> {
  const stats = await service.stats();
  return {
    phase: service.phase,
    model: service.model.id === '' ? null : service.model.id,
    uptime_ms: Math.round(process.uptime() * 1000),
    rss_bytes: process.memoryUsage.rss(),
    running_turns: service.runningTurns,
    engine: stats ? engineBody(stats) : null,
  };
}

function engineBody(stats: EngineStats): object {
  const { executor, memory, cache } = stats;
  return {
    executor,
    memory: {
      weights_bytes: memory.weightsBytes,
      pool_bytes: memory.poolBytes,
      scratch_bytes: memory.scratchBytes,
    },
    block_tokens: stats.blockTokens,
    pool: stats.pool.map(({ capacity, free, cached, blockBytes }) => ({
      capacity,
      free,
      cached,
      block_bytes: blockBytes,
    })),
    cache: {
      lookups: cache.lookups,
      lookup_tokens: cache.lookupTokens,
      own_hit_tokens: cache.ownHitTokens,
      shared_hit_tokens: cache.sharedHitTokens,
      indexed_blocks: cache.indexedBlocks,
    },
    active: stats.active,
    waiting: stats.waiting,
    live_generations: stats.liveGenerations,
    agents_hot: stats.agentsHot,
    steps: stats.steps,
    step_seconds: stats.stepSeconds,
    prefill_tokens: stats.prefillTokens,
    decode_tokens: stats.decodeTokens,
    drafted_tokens: stats.draftedTokens,
    accepted_tokens: stats.acceptedTokens,
    preemptions: stats.preemptions,
    evictions_hot: stats.evictionsHot,
    demotions: stats.demotions,
    disk_bytes: stats.diskBytes,
    disk_shared_bytes: stats.diskSharedBytes,
    saves: stats.saves,
    save_seconds: stats.saveSeconds,
    save_failures: stats.saveFailures,
    last_save_error: stats.lastSaveError === '' ? null : stats.lastSaveError,
  };
}
