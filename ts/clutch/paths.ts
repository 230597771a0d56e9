/** Which files a run may touch: those below its base directories and those it tracks, but for secrets. */
import { basename, relative, resolve, sep } from 'node:path';
import { refuse } from '../arguments.js';
import { canonicalPath, deniedPath, isWithin } from '../paths.js';

export interface PathRulesOptions {
  /** Folders, absolute. */
  readonly baseDirs: readonly string[];
  /** Files outside of them that the run was given as well, absolute. */
  readonly trackedFiles?: readonly string[];
}

/** Names of files and folders that are nobody's business, whatever the case of their letters. */
const deniedNames: readonly RegExp[] = [
  // Conversations of other runs.
  /^(.*_)?history\.toml$/i,
  /^\.env/i,
  /\.(pem|key|p12|pfx|jks|keystore|kdbx)$/i,
  /^id_(rsa|dsa|ecdsa|ed25519)/i,
  /^(\.git-)?credentials(\.(json|ya?ml|toml|ini|csv|xml))?$/i,
  /^approver-token/i,
  /^secrets?\.(json|ya?ml|toml|ini|txt)$/i,
  /^(\.npmrc|[._]netrc|\.pypirc|\.pgpass|\.htpasswd|\.yarnrc\.yml|\.dockercfg)$/i,
  /^\.(ssh|gnupg|aws|azure|kube|docker)$/i,
];

/** Whether a file or folder of this name is kept from runs, wherever it is. */
export function isDeniedName(name: string): boolean {
  return deniedNames.some((rule) => rule.test(name));
}

export class PathRules {
  /** Canonical. */
  readonly baseDirs: readonly string[];
  /** Canonical. */
  readonly trackedFiles: readonly string[];

  private constructor(baseDirs: readonly string[], trackedFiles: readonly string[]) {
    this.baseDirs = baseDirs;
    this.trackedFiles = trackedFiles;
  }

  /** @throws StompError INVALID_REQUEST, PATH_DENIED */
  static async open({ baseDirs, trackedFiles = [] }: PathRulesOptions): Promise<PathRules> {
    if (baseDirs.length === 0) refuse('baseDirs', baseDirs, 'at least one folder');
    const [folders, files] = await Promise.all(
      [baseDirs, trackedFiles].map((paths) => Promise.all(paths.map(canonicalPath))),
    );
    const rules = new PathRules(folders ?? [], files ?? []);
    for (const file of rules.trackedFiles) await rules.resolve(file, file);
    return rules;
  }

  /**
   * Where a file is, or would be, without links.
   * @param from the folder in which relative paths begin
   * @throws StompError PATH_DENIED, INVALID_REQUEST
   */
  async resolve(path: string, from: string): Promise<string> {
    const asked = path === '' ? path : resolve(from, path);
    const canonical = await canonicalPath(asked);
    const root = [...this.baseDirs, ...this.trackedFiles].find((one) => isWithin(canonical, one));
    if (root === undefined) {
      throw deniedPath(path, `it is outside of ${this.baseDirs.join(', ')} and no tracked file`);
    }
    // A link may have a harmless name, and what it leads to as well.
    const names = [basename(asked), basename(canonical), ...relative(root, canonical).split(sep)];
    const denied = names.find(isDeniedName);
    if (denied !== undefined) {
      throw deniedPath(path, `files and folders such as ${JSON.stringify(denied)} are kept from runs`);
    }
    return canonical;
  }
}
