import { describe, expect, it } from 'vitest';
import { parseArguments } from '../../../ts/config/arguments.js';
import { StompError } from '../../../ts/errors.js';

function failure(args: string[], command: 'serve' | 'perplexity' = 'serve'): StompError {
  try {
    parseArguments(args, command);
  } catch (caught) {
    if (caught instanceof StompError && caught.code === 'CONFIG_INVALID') return caught;
    throw caught;
  }
  throw new Error('it was accepted');
}

describe('a command line', () => {
  it('gives flags by name and positional arguments', () => {
    const { flags, positionals } = parseArguments(
      ['a.txt', '--threads', '2', '--model=x', 'b.txt'],
      'perplexity',
    );
    expect([...flags]).toEqual([
      ['threads', '2'],
      ['model', 'x'],
    ]);
    expect(positionals).toEqual(['a.txt', 'b.txt']);
  });

  it('takes everything after -- as positional', () => {
    expect(parseArguments(['--', '--threads'], 'perplexity').positionals).toEqual(['--threads']);
  });

  it('lets the last of two win', () => {
    expect(parseArguments(['--port', '1', '--port', '2'], 'serve').flags.get('port')).toBe('2');
  });

  it('reads switches with and without a value', () => {
    expect(parseArguments(['--allow-remote'], 'serve').flags.get('allow-remote')).toBe(true);
    expect(parseArguments(['--allow-remote=false'], 'serve').flags.get('allow-remote')).toBe('false');
  });

  it('keeps a negative number as a value', () => {
    expect(parseArguments(['--port', '-1'], 'serve').flags.get('port')).toBe('-1');
  });

  it('knows help and version in both forms', () => {
    expect(parseArguments(['-h'], 'serve').help).toBe(true);
    expect(parseArguments(['--help'], 'serve').help).toBe(true);
    expect(parseArguments(['-v'], 'serve')).toMatchObject({ version: true, help: false });
  });
});

describe('a mistake is refused', () => {
  it('with the nearest flag', () => {
    expect(failure(['--prot', '1']).message).toContain('Did you mean "--port"?');
    expect(failure(['--max-batchsize', '1']).message).toContain('Did you mean "--max-batch-size"?');
  });

  it('without a wild guess', () => {
    expect(failure(['--zzzzzz']).message).not.toContain('Did you mean');
  });

  it('when a flag belongs to another command', () => {
    expect(failure(['--port', '1'], 'perplexity').message).toContain('--port does not apply to perplexity');
  });

  it.each([[['--port']], [['--port', '--host', 'x']], [['--config']]])(
    'when a value is missing: %j',
    (args) => {
      expect(failure(args).message).toContain('needs a value');
    },
  );

  it('for names of Object.prototype too', () => {
    expect(failure(['--constructor']).fields.field).toBe('constructor');
    expect(failure(['--__proto__', 'x']).message).toContain('not a flag');
  });
});
