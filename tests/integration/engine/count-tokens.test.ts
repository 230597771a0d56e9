import { describe, expect, it } from 'vitest';
import type { ChatMessage } from '../../../ts/engine/types.js';
import { load } from './engines.js';

const question: ChatMessage[] = [
  { role: 'system', content: 'Be brief.' },
  { role: 'user', content: 'What is a tide mill?' },
];

describe('counting tokens', () => {
  it('says of a conversation, and of what follows it, how long its prompt is', async () => {
    const engine = await load();
    const agent = engine.agent('ann');
    const counted = await engine.countTokens(question);
    const first = await agent.chat(question, { maxTokens: 12 }).result;
    expect(counted).toBe(first.usage.promptTokens);
    const next: ChatMessage[] = [
      ...question,
      { role: 'assistant', content: first.text },
      { role: 'user', content: 'And who runs it?' },
    ];
    const countedNext = await engine.countTokens(next, { agentId: 'ann' });
    expect(countedNext).toBe((await agent.chat(next, { maxTokens: 1 }).result).usage.promptTokens);
    expect(countedNext).toBeGreaterThan(counted);
  });

  it('computes nothing and makes no agent', async () => {
    const engine = await load();
    await engine.countTokens(question, { agentId: 'bob' });
    expect(await engine.agents()).toEqual([]);
    expect((await engine.stats()).prefillTokens).toBe(0);
  });

  it('refuses what is no conversation or no agent', async () => {
    const engine = await load();
    await expect(engine.countTokens([])).rejects.toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST' }),
    );
    await expect(engine.countTokens(question, { agentId: '../a' })).rejects.toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST' }),
    );
  });
});
