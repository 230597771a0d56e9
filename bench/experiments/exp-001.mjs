// Are the facts that a cache is laid out by the same in every form of a model?
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixtures, withEngine } from './engines.mjs';
import { figure, judged } from './verdict.mjs';

export const about = {
  question: 'Are the facts that the cache is laid out by the same in every form of a model?',
  method:
    'loads every checkpoint of tests/fixtures/models, dense, quantised and GGUF, and the default model; compares layers, ' +
    'layer groups and bytes of a token among the forms of a model, and with its config.json where it has one',
  target: 'every form has them, and they agree',
};

/** `tiny-qwen2` of `tiny-qwen2-mlx4` and `tiny-qwen2.Q8_0.gguf`. */
export const modelOf = (name) =>
  name.replace(/(-(bf16|f16|f32-sharded|mlx\d|mlx-mixed|mixed|mxfp4|original)|\.\w+\.gguf)$/, '');

/** Keys and values of 16 bits in all layers, as the configuration has them; undefined for a single file. */
function configured(path) {
  const file = join(path, 'config.json');
  if (!existsSync(file)) return undefined;
  const whole = JSON.parse(readFileSync(file, 'utf8'));
  const config = whole.text_config ?? whole;
  const headDim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
  return 2 * 2 * config.num_hidden_layers * config.num_key_value_heads * headDim;
}

async function facts(name, path) {
  return withEngine(path, { cacheBudgetMb: 64, maxContext: 256 }, async (engine) => {
    const { pool, blockTokens } = await engine.stats();
    const { family, layers } = engine.info;
    const groups = pool.map(({ blockBytes }) => blockBytes / blockTokens);
    return { name, family, layers, groups, bytes: groups.reduce((sum, bytes) => sum + bytes, 0) };
  });
}

const shape = ({ family, layers, groups }) => `${family}, ${layers} layers, ${groups.join(' + ')} bytes`;

function disagreements(forms) {
  const [first] = forms;
  return forms
    .filter((form) => shape(form) !== shape(first))
    .map((form) => `${form.name} has ${shape(form)}, ${first.name} has ${shape(first)}`);
}

function grouped(all) {
  const byModel = new Map();
  for (const form of all) {
    const name = modelOf(form.name);
    byModel.set(name, [...(byModel.get(name) ?? []), form]);
  }
  return byModel;
}

export async function run({ model }) {
  const names = readdirSync(fixtures);
  const all = [];
  const faults = [];
  for (const name of names) {
    const path = join(fixtures, name);
    const found = await facts(name, path);
    const expected = configured(path);
    if (expected !== undefined && found.bytes !== expected)
      faults.push(`${name} takes ${found.bytes} bytes a token, its config.json says ${expected}`);
    all.push(found);
  }
  const byModel = grouped(all);
  for (const forms of byModel.values()) faults.push(...disagreements(forms));
  const served = await facts(model, model);
  const figures = [...[...byModel].map(([name, [first]]) => [name, first]), [model, served]].flatMap(
    ([name, { groups, bytes }]) => [
      figure(`${name}: layer groups`, groups.length, ''),
      figure(`${name}: a token in all layers`, bytes, 'bytes'),
    ],
  );
  return judged(figures, faults, `${all.length} checkpoints of ${byModel.size} models agree`);
}
