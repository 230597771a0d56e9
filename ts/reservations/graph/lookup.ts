/** Finds what names mean across the files of a repository. */
import { addressOf } from '../symbols/address.js';
import type { CodeSymbol, FileSymbols, ImportedName } from '../symbols/symbols.js';
import { FilePaths, filesOfModule, folderOf } from './module-paths.js';
import { ModuleView } from './module-view.js';

/** A symbol, or with an empty name a module itself. */
export interface Entity {
  readonly module: ModuleView;
  readonly name: string;
}

/** Where a search has been: files pass names on in circles, and classes are derived in them. */
type Seen = Set<string>;

export function addressOfEntity({ module, name }: Entity): string {
  return addressOf(module.path, name);
}

export class Lookup {
  readonly #modules: ReadonlyMap<string, ModuleView>;
  readonly #paths: FilePaths;
  readonly #bases = new Map<string, readonly Entity[]>();
  /** Go packages by their folders: which file has which symbol. */
  readonly #packages = new Map<string, ReadonlyMap<string, ModuleView>>();
  readonly #targets = new Map<string, readonly ModuleView[]>();

  constructor(files: readonly FileSymbols[]) {
    const readable = files.filter(({ language }) => language !== undefined);
    this.#modules = new Map(readable.map((file) => [file.path, new ModuleView(file)]));
    this.#paths = new FilePaths([...this.#modules.keys()]);
  }

  get modules(): Iterable<ModuleView> {
    return this.#modules.values();
  }

  symbolOf({ module, name }: Entity): CodeSymbol | undefined {
    return module.symbol(name);
  }

  /** What `dotted` means in a file, seen from inside of the symbol `scope`. */
  resolve(module: ModuleView, scope: string, dotted: string): Entity | undefined {
    const parts = dotted.split('.');
    const local = this.#inScopes(module, scope, parts[0] ?? '');
    if (local) return this.#walk(local, parts.slice(1));
    // `import a.b` is known under both names together.
    for (let size = parts.length; size > 0; size -= 1) {
      const imported = module.imports.get(parts.slice(0, size).join('.'));
      if (imported) return this.#walk(this.imported(module, imported), parts.slice(size));
    }
    return this.#walk(this.#unbound(module, parts[0] ?? ''), parts.slice(1));
  }

  /** Whether a name comes from outside of the repository. */
  isForeign(module: ModuleView, dotted: string): boolean {
    const parts = dotted.split('.');
    return parts.some((_, i) => {
      const imported = module.imports.get(parts.slice(0, i + 1).join('.'));
      return imported !== undefined && this.imported(module, imported) === undefined;
    });
  }

  imported(from: ModuleView, name: ImportedName, seen: Seen = new Set()): Entity | undefined {
    const targets = name.module === '' ? [from] : this.#targetsOf(from, name.module);
    const [first] = targets;
    if (name.imported === '*') return first && { module: first, name: '' };
    for (const target of targets) {
      const found = this.#exported(target, name.imported, seen);
      if (found) return found;
    }
    if (from.system === 'python') return this.#submodule(from, name);
    // Of a CommonJS module the default is all of it.
    return first && name.imported === 'default' && name.module !== ''
      ? { module: first, name: '' }
      : undefined;
  }

  /** A member of a class, its own or inherited. */
  member(of: Entity, name: string, seen: Seen = new Set()): Entity | undefined {
    const key = addressOfEntity(of);
    if (seen.has(key)) return undefined;
    seen.add(key);
    const own = this.#ownMember(of, name);
    if (own) return own;
    for (const base of this.bases(of)) {
      const found = this.member(base, name, seen);
      if (found) return found;
    }
    return undefined;
  }

  bases(of: Entity): readonly Entity[] {
    const key = addressOfEntity(of);
    const known = this.#bases.get(key);
    if (known) return known;
    // To find a base may take one to ask for it again.
    this.#bases.set(key, []);
    const names = this.symbolOf(of)?.bases ?? [];
    const bases = names.flatMap((base) => this.resolve(of.module, outerOf(of.name), base) ?? []);
    this.#bases.set(key, bases);
    return bases;
  }

  #ownMember({ module, name: owner }: Entity, name: string): Entity | undefined {
    const full = `${owner}.${name}`;
    // A Go type may have its methods in any file of its package.
    const holder = this.#holder(module, full);
    return holder && { module: holder, name: full };
  }

  /** From the innermost scope outwards; a class is no scope for the methods in it. */
  #inScopes(module: ModuleView, scope: string, name: string): Entity | undefined {
    for (let around = scope; around !== ''; around = outerOf(around)) {
      const kind = module.symbol(around)?.kind;
      if (kind === 'class' || kind === 'interface') continue;
      const full = `${around}.${name}`;
      if (module.symbol(full)) return { module, name: full };
    }
    return module.symbol(name) ? { module, name } : undefined;
  }

  /** Names that nothing in the file binds: of the same Go package, or out of a module that is imported whole. */
  #unbound(module: ModuleView, name: string): Entity | undefined {
    const sibling = this.#holder(module, name);
    if (sibling) return { module: sibling, name };
    return this.#starred(module, name, new Set());
  }

  /** The file that has a symbol: the module itself, or in Go any of its package. */
  #holder(module: ModuleView, name: string): ModuleView | undefined {
    if (module.symbol(name)) return module;
    return module.system === 'go' ? this.#packageOf(module).get(name) : undefined;
  }

  #packageOf(module: ModuleView): ReadonlyMap<string, ModuleView> {
    const folder = folderOf(module.path);
    const known = this.#packages.get(folder);
    if (known) return known;
    const holders = new Map<string, ModuleView>();
    for (const path of this.#paths.goFiles(folder)) {
      const file = this.#modules.get(path);
      // The first file counts: others are for other systems, or tests.
      for (const name of file?.names() ?? []) if (file && !holders.has(name)) holders.set(name, file);
    }
    this.#packages.set(folder, holders);
    return holders;
  }

  #walk(from: Entity | undefined, parts: readonly string[]): Entity | undefined {
    let at = from;
    for (const part of parts) {
      if (at === undefined) return undefined;
      at = at.name === '' ? this.#inModule(at.module, part) : this.member(at, part);
    }
    return at;
  }

  #inModule(module: ModuleView, name: string): Entity | undefined {
    const holder = this.#holder(module, name);
    const found = this.#exported(holder ?? module, name, new Set());
    if (found || module.system !== 'python') return found;
    return this.#submodule(module, { local: name, imported: name, module: '.' });
  }

  #exported(module: ModuleView, name: string, seen: Seen): Entity | undefined {
    const key = addressOf(module.path, name);
    if (seen.has(key)) return undefined;
    seen.add(key);
    const exported = module.exports.get(name);
    if (exported && !(exported.module === '' && exported.imported === name))
      return this.imported(module, exported, seen);
    if (module.symbol(name)) return { module, name };
    const imported = module.imports.get(name);
    if (imported) return this.imported(module, imported, seen);
    return this.#starred(module, name, seen);
  }

  #starred(module: ModuleView, name: string, seen: Seen): Entity | undefined {
    for (const star of module.stars) {
      for (const target of this.#targetsOf(module, star.module)) {
        const found = this.#exported(target, name, seen);
        if (found) return found;
      }
    }
    return undefined;
  }

  /** `from package import module` */
  #submodule(from: ModuleView, { module, imported }: ImportedName): Entity | undefined {
    const joined = module.endsWith('.') ? `${module}${imported}` : `${module}.${imported}`;
    const [target] = this.#targetsOf(from, joined);
    return target && { module: target, name: '' };
  }

  #targetsOf(from: ModuleView, module: string): readonly ModuleView[] {
    const key = `${folderOf(from.path)}\n${from.system}\n${module}`;
    const known = this.#targets.get(key);
    if (known) return known;
    const paths = filesOfModule(from.system, module, from.path, this.#paths);
    const targets = paths.flatMap((path) => this.#modules.get(path) ?? []);
    this.#targets.set(key, targets);
    return targets;
  }
}

export function outerOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf('.')));
}
