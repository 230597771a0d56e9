/** The name by which requests ask for the model. Pure. */
import { StompError } from '../errors.js';
import type { ModelStatus } from './model-status.js';

/**
 * An alias that ends in `*` stands for every name that begins like it. A request without a name gets the one model there is.
 * @throws StompError MODEL_NOT_FOUND
 */
export function checkModel(
  name: string | undefined,
  model: { readonly id: string } & Pick<ModelStatus, 'aliases'>,
): void {
  if (name === undefined || name === model.id) return;
  if (model.aliases.some((alias) => isMeant(alias, name))) return;
  const allowed = [model.id, ...model.aliases].join(', ');
  const shown = JSON.stringify(name.slice(0, 200));
  throw new StompError('MODEL_NOT_FOUND', `The model ${shown} is not served here; use ${allowed}.`, {
    fields: { field: 'model', value: name.slice(0, 200), allowed },
  });
}

function isMeant(alias: string, name: string): boolean {
  return alias.endsWith('*') ? name.startsWith(alias.slice(0, -1)) : name === alias;
}
