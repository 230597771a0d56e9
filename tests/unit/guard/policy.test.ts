import { parse } from 'smol-toml';
import { describe, expect, it } from 'vitest';
import { StompError } from '../../../ts/errors.js';
import { PolicyRegistry } from '../../../ts/guard/policy.js';

const registry = (toml: string) => new PolicyRegistry(parse(toml)['maasl'] as Record<string, unknown>);

function refusal(toml: string): StompError {
  try {
    registry(toml);
  } catch (error) {
    if (error instanceof StompError) return error;
  }
  throw new Error(`${toml} was taken`);
}

describe('resource classes', () => {
  it('are four, as everybody knows them', () => {
    const table = new PolicyRegistry()
      .classes()
      .map((one) => [
        one.name,
        one.concurrency,
        one.scope,
        one.leaseTtlMs,
        one.interactiveMaxWaitMs,
        one.batchMaxWaitMs,
        one.strategy,
        one.prefix,
      ]);
    expect(table).toEqual([
      ['CRIT_CODE', 'mutex', 'file', 30_000, 500, 3000, 'fail_closed', 'code'],
      ['CRIT_DB', 'single_writer', 'db', 60_000, 1000, 10_000, 'fail_closed', 'db'],
      ['MERGE_META', 'merge', 'graph', 30_000, 500, 5000, 'fail_open_merge', 'graph'],
      ['IDEMP_DOCS', 'idempotent', 'repo', 120_000, 500, 5000, 'fail_closed', 'docgen'],
    ]);
  });

  it('are changed by nested tables, for one registry', () => {
    const changed = registry('[maasl.resource.CRIT_DB]\nlease_ttl_sec = 5\nbatch_max_wait_ms = 7');
    expect(changed.get('CRIT_DB')).toMatchObject({
      leaseTtlMs: 5000,
      batchMaxWaitMs: 7,
      interactiveMaxWaitMs: 1000,
    });
    expect(new PolicyRegistry().get('CRIT_DB')).toMatchObject({ leaseTtlMs: 60_000, batchMaxWaitMs: 10_000 });
  });

  it('of a user begin with the general settings', () => {
    const own = registry(`[maasl]
      default_lease_ttl_sec = 9
      default_interactive_max_wait_ms = 1
      default_batch_max_wait_ms = 2
      [maasl.resource.NOTES]
      strategy = "fail_open_merge"
      concurrency = "merge"`).get('NOTES');
    expect(own).toEqual({
      name: 'NOTES',
      concurrency: 'merge',
      scope: 'resource',
      prefix: 'notes',
      leaseTtlMs: 9000,
      interactiveMaxWaitMs: 1,
      batchMaxWaitMs: 2,
      strategy: 'fail_open_merge',
    });
  });

  it('are switched off as a whole', () => {
    expect(registry('[maasl]\nenabled = false').enabled).toBe(false);
  });

  it('have no other settings, and the nearest is named', () => {
    expect(refusal('[maasl]\nenable = true')).toMatchObject({ code: 'CONFIG_INVALID' });
    expect(refusal('[maasl]\nenable = true').message).toContain('Did you mean "enabled"?');
    expect(refusal('[maasl.resource.CRIT_CODE]\nlease_ttl = 1').message).toContain(
      'Did you mean "lease_ttl_sec"?',
    );
    expect(refusal('[maasl.resources.CRIT_CODE]\nlease_ttl_sec = 1').message).toContain(
      'Did you mean "resource"?',
    );
  });

  it('take no values that make no sense', () => {
    for (const line of [
      'lease_ttl_sec = 0',
      'lease_ttl_sec = "5"',
      'lease_ttl_sec = nan',
      'interactive_max_wait_ms = -1',
      'batch_max_wait_ms = inf',
      'strategy = "fail"',
      'concurrency = 1',
      'prefix = "a:b"',
      'scope = ""',
    ]) {
      expect(refusal(`[maasl.resource.CRIT_CODE]\n${line}`).message).toContain(line.split(' ')[0] ?? '');
    }
    expect(refusal('[maasl]\nresource = 1').code).toBe('CONFIG_INVALID');
    expect(refusal('[maasl]\nenabled = "yes"').code).toBe('CONFIG_INVALID');
  });

  it('of a user are told from slips, and have keys of their own', () => {
    expect(refusal('[maasl.resource.CRIT_COD]\nlease_ttl_sec = 1').message).toContain(
      'Did you mean "CRIT_CODE"?',
    );
    expect(registry('[maasl.resource.CRIT_COD]\nconcurrency = "mutex"').get('CRIT_COD').prefix).toBe(
      'crit_cod',
    );
    expect(refusal('[maasl.resource.CODE]\nconcurrency = "mutex"').message).toContain('CRIT_CODE');
    expect(refusal('[maasl.resource."A/B"]\nconcurrency = "mutex"').message).toContain('prefix');
    expect(refusal('[maasl.resource.X]\nscope = "files"').message).toContain('scope');
  });

  it('that do not merge are closed while they are held', () => {
    expect(registry('[maasl.resource.MERGE_META]\nconcurrency = "mutex"').get('MERGE_META').strategy).toBe(
      'fail_closed',
    );
  });

  it('that nobody knows are named with those that there are', () => {
    const ask = () => new PolicyRegistry().get('CRIT_CODES');
    expect(ask).toThrow(/Did you mean "CRIT_CODE"/);
  });
});
