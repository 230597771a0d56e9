/** `/health/…`, `/metrics`, `/openapi.json` and `/docs`. */
import type { PathGroup } from '../operation.js';
import { object, ref, text } from '../shapes.js';

const state = { 200: { description: 'Yes', schema: object({ status: text('In a word') }) } };
const stateOrNot = { ...state, 503: { description: 'Not yet, or not now', schema: ref('Unready') } };

export const watchPaths: PathGroup = {
  tag: 'watch',
  description: 'How the server is',
  errorShape: 'Error',
  paths: {
    '/health/live': { get: { summary: 'Whether the process works', answers: state } },
    '/health/startup': { get: { summary: 'Whether the model is loaded', answers: stateOrNot } },
    '/health/ready': { get: { summary: 'Whether requests are taken', answers: stateOrNot } },
    '/metrics': {
      get: {
        summary: 'Figures for Prometheus',
        answers: {
          200: { description: 'The figures', schema: { type: 'string' }, mediaType: 'text/plain' },
        },
      },
    },
    '/openapi.json': {
      get: { summary: 'This document', answers: { 200: { description: 'OpenAPI 3.1', schema: object({}) } } },
    },
    '/docs': {
      get: {
        summary: 'This document, for people',
        answers: { 200: { description: 'A page', schema: { type: 'string' }, mediaType: 'text/html' } },
      },
    },
  },
};
