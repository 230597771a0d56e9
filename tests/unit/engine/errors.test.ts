import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import {
  AgentNotFoundError,
  InvalidRequestError,
  isStompErrorCode,
  PoolExhaustedError,
  StompError,
  stompErrorCodes,
  toStompError,
} from '../../../ts/errors.js';

describe('StompError', () => {
  it('knows every code of the core', () => {
    const source = readFileSync(new URL('../../../cpp/core/base/error.cc', import.meta.url), 'utf8');
    const codes = [...source.matchAll(/return "([A-Z_]+)"/g)].map((match) => match[1]);
    expect(codes.length).toBeGreaterThan(10);
    expect(codes.filter((code) => !isStompErrorCode(code))).toEqual([]);
  });

  it('gives every code an HTTP status that is an error', () => {
    for (const code of stompErrorCodes) {
      const { status } = new StompError(code, 'x');
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(600);
    }
  });

  it('answers to its named class however it was made', () => {
    expect(new StompError('INVALID_REQUEST', 'x')).toBeInstanceOf(InvalidRequestError);
    expect(new InvalidRequestError('x')).toBeInstanceOf(StompError);
    expect(new InvalidRequestError('x').code).toBe('INVALID_REQUEST');
    expect(new StompError('POOL_EXHAUSTED', 'x')).not.toBeInstanceOf(AgentNotFoundError);
    expect(toStompError({ code: 'POOL_EXHAUSTED', message: 'full' })).toBeInstanceOf(PoolExhaustedError);
  });

  it('is called AbortError when cancelled, as the platform calls it', () => {
    expect(new StompError('CANCELLED', 'x').name).toBe('AbortError');
  });

  it('serialises without stack or cause', () => {
    const error = new StompError('QUEUE_FULL', 'full', {
      fields: { waiting: 3 },
      cause: new Error('secret'),
    });
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      code: 'QUEUE_FULL',
      message: 'full',
      fields: { waiting: 3 },
    });
  });

  it('tells what the core counted in numbers, by the names that prompts refused earlier have', () => {
    const fields = { promptTokens: '9000', contextTokens: '8192', agent: '7' };
    const error = toStompError({ code: 'CONTEXT_OVERFLOW', message: 'too long', fields });
    expect(error.fields).toEqual({ promptTokens: 9000, contextTokens: 8192, agent: '7' });
  });

  it('keeps code and fields of a native error and takes the frames of the caller', () => {
    const caller = new Error('here');
    const native = Object.assign(new Error('too long'), {
      code: 'CONTEXT_OVERFLOW',
      fields: { tokens: '9' },
    });
    const error = toStompError(native, caller);
    expect(error).toMatchObject({ code: 'CONTEXT_OVERFLOW', status: 400, fields: { tokens: '9' } });
    expect(error.stack).toContain('errors.test.ts');
    expect(error.stack).toContain('too long');
  });

  it('names a stranger GENERATION_FAILED and keeps it as the cause', () => {
    const cause = new TypeError('odd');
    expect(toStompError(cause)).toMatchObject({ code: 'GENERATION_FAILED', cause });
    expect(toStompError({ code: 'ENOENT', message: 'gone' }).code).toBe('GENERATION_FAILED');
  });

  it('knows no code that only an object prototype has', () => {
    expect(isStompErrorCode('toString')).toBe(false);
  });
});
