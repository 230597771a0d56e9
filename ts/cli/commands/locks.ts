/** `stomp-serve locks`: shows who holds and who waits for what. */
import type { Command } from '../command.js';

export const locks: Command = {
  name: 'locks',
  usage: '',
  summary: 'Show who holds and who waits for what, live',
  arguments: [0, 0],
  run: () => Promise.reject(new Error('to be written')),
};
