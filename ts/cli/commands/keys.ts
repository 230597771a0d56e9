/** `stomp-serve keys new`: makes an API key, and the line that a key file takes. */

import { StompError } from '../../errors.js';
import { keyProblem, newKey } from '../../serve/access/keys.js';
import type { Command, Invocation } from '../command.js';
import { print, say } from '../terminal.js';

export const keys: Command = {
  name: 'keys',
  usage: 'new [NAME]',
  summary: 'Make an API key: the line to add to the file that --api-key-file names',
  arguments: [1, 2],
  run: makeKey,
};

/** The line alone goes to the output, so that `>>` adds it to a file. */
async function makeKey({ positionals, settings, terminal }: Invocation): Promise<number> {
  const [action, name] = positionals;
  if (action !== 'new') {
    throw new StompError(
      'CONFIG_INVALID',
      `"${action}" cannot be done with keys. Usage: stomp-serve keys new [NAME]`,
      {
        fields: { field: 'arguments', value: action, allowed: 'new' },
      },
    );
  }
  const role = settings.role;
  const key = newKey();
  const problem = keyProblem(name === undefined ? { role, key } : { role, key, name });
  if (problem !== undefined) {
    throw new StompError('CONFIG_INVALID', `The key cannot be made: ${problem}.`, {
      fields: { field: 'arguments', value: name },
    });
  }
  print(terminal, [role, key, ...(name === undefined ? [] : [name])].join(' '));
  say(terminal, 'Add this line to the key file (mode 600). Clients send its second word as their API key.');
  return 0;
}
