/** Who will touch which symbols, what will clash, and how to merge what came of it. */
export * from './types.js';
