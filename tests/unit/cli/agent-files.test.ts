import { expect, it } from 'vitest';
import { agentOfFileName } from '../../../ts/cli/agent-files.js';

it.each([
  ['ann.safetensors', 'ann'],
  ['agent=1.safetensors', 'Agent'],
  ['ab_cdef=92.safetensors', 'Ab_CdEf'],
  [`${'a'.repeat(128)}=${'f'.repeat(32)}.safetensors`, 'A'.repeat(128)],
])('%s is the file of %s', (name, agent) => {
  expect(agentOfFileName(name)).toBe(agent);
});

it.each(['.lock', 'ann.safetensors.corrupt', '.safetensors.tmp'])('%s is no agent', (name) => {
  expect(agentOfFileName(name)).toBeUndefined();
});
