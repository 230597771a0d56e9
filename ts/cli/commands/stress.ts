/** `stomp-serve stress`: agents in processes of their own fight over one another's work. */
import type { Command } from '../command.js';

export const stress: Command = {
  name: 'stress',
  usage: '',
  summary: 'Let agents in processes of their own fight over files, databases, graphs and docs',
  arguments: [0, 0],
  run: () => Promise.reject(new Error('to be written')),
};
