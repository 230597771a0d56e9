/**
 * Whether the MLX executor is built for NVIDIA GPUs, and from where the libraries come that it needs there
 * and that no package of ours brings: the ones that MLX's wheel for CUDA 13 names as its requirements.
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { platformName } from './platform.mjs';

/** By the file name that MLX's library asks for: the folder that pip has it in, and the package. */
export const cudaLibraries = {
  'libcublasLt.so.13': { at: 'cu13/lib', package: 'nvidia-cublas==13.*' },
  'libcufft.so.12': { at: 'cu13/lib', package: 'nvidia-cufft==12.*' },
  'libnvrtc.so.13': { at: 'cu13/lib', package: 'nvidia-cuda-nvrtc==13.*' },
  'libcudnn.so.9': { at: 'cudnn/lib', package: 'nvidia-cudnn-cu13==9.*' },
  'libnccl.so.2': { at: 'nccl/lib', package: 'nvidia-nccl-cu13' },
};

/** What MLX compiles kernels with at run time, beside NVRTC; their packages. */
export const cudaHeaders = {
  'cuda_fp16.h': 'nvidia-cuda-runtime==13.*',
  'crt/host_config.h': 'nvidia-cuda-crt==13.*',
};

/** The command that brings all of it for the Python in use. */
export const installCommand = `python3 -m pip install ${[
  ...Object.values(cudaLibraries).map((library) => `'${library.package}'`),
  ...Object.values(cudaHeaders).map((name) => `'${name}'`),
].join(' ')}`;

/**
 * `folder` is pip's folder `nvidia`; without one the libraries are the system's.
 * @typedef {{ folder?: string }} CudaLibraries
 */

/** What a folder `nvidia` lacks of libraries and headers. */
export function lacking(folder) {
  const libraries = Object.entries(cudaLibraries).map(([name, { at }]) => join(at, name));
  const headers = Object.keys(cudaHeaders).map((name) => join('cu13', 'include', name));
  return [...libraries, ...headers].filter((path) => !existsSync(join(folder, path)));
}

/** pip's folder of NVIDIA's packages, for the Python in use; undefined where there is none. */
function pipFolder() {
  const text =
    "import importlib.util as u; s = u.find_spec('nvidia'); print(*(s.submodule_search_locations if s else []), sep='\\n')";
  const { status, stdout } = spawnSync(process.env.PYTHON || 'python3', ['-c', text], { encoding: 'utf8' });
  if (status !== 0) return undefined;
  return stdout
    .split('\n')
    .filter(Boolean)
    .find((folder) => lacking(folder).length === 0);
}

/** Whether the dynamic linker knows all libraries, and the headers are where MLX looks for them. */
function systemHasAll() {
  const { stdout } = spawnSync('ldconfig', ['-p'], { encoding: 'utf8' });
  const home = process.env.CUDA_HOME || process.env.CUDA_PATH || '/usr/local/cuda';
  return (
    Object.keys(cudaLibraries).every((name) => stdout?.includes(`${name} `)) &&
    Object.keys(cudaHeaders).every((name) => existsSync(join(home, 'include', name)))
  );
}

/** @returns {CudaLibraries | undefined} */
function findLibraries() {
  if (process.env.STOMP_CUDA_LIBRARIES) return { folder: resolve(process.env.STOMP_CUDA_LIBRARIES) };
  const folder = pipFolder();
  if (folder !== undefined) return { folder };
  return systemHasAll() ? {} : undefined;
}

/** Where Linux has NVIDIA's driver. Not looked for on WSL, where MLX would read weights from the host's memory. */
function hasDriver() {
  return existsSync('/proc/driver/nvidia/version');
}

/**
 * `STOMP_MLX_CUDA=1` asks for CUDA, also where there is no GPU; `0` for none. Unset: CUDA where there is a driver
 * and everything that MLX needs beside it; where only that is missing, `note` says how to get it.
 * @returns {{ cuda?: CudaLibraries, note?: string }}
 */
export function chooseCuda() {
  const asked = process.env.STOMP_MLX_CUDA;
  if (asked === '1') return { cuda: findLibraries() ?? {} };
  if (asked === '0' || platformName() !== 'linux-x64' || !hasDriver()) return {};
  const cuda = findLibraries();
  if (cuda !== undefined) return { cuda };
  return {
    note: `there is an NVIDIA driver, but not what MLX needs to use it, so MLX is built for the CPU alone; for the GPU: ${installCommand}`,
  };
}
