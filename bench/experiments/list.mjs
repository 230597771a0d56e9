// The experiments, in order. A module of one exports
//   about   { question, method, target }: each a sentence
//   run     (task) => { figures, verdict, why }: measures it; task is what trial.mjs was given
//   phases  by name, where a part has to run in a process of its own

export const ids = Array.from({ length: 15 }, (_, i) => String(i + 1).padStart(3, '0'));

export const load = (id) => import(`./exp-${id}.mjs`);
