/**
 * Reads what a Mach-O file of 64 bits says of itself, as `file` and `otool -L` do.
 * Format: Apple's mach-o/loader.h (mach_header_64 and its load commands).
 */
const magic64 = 0xfeedfacf;
const cpuNames = new Map([
  [0x0100000c, 'arm64'],
  [0x01000007, 'x86_64'],
]);
const kindNames = new Map([
  [1, 'object'],
  [2, 'executable'],
  [6, 'dynamic library'],
  [8, 'bundle'],
]);
const headerBytes = 32;
/** Also those that may be missing, that are passed on, and that lead up. Each counts. */
const loadsDylib = [0xc, 0x80000018, 0x8000001f, 0x80000023];
const loadRpath = 0x8000001c;
const buildVersion = 0x32;
const symbolTable = 0x2;
const symbolBytes = 16;
const macos = 1;

/**
 * @param {Buffer} bytes
 * @returns {{ cpu: string, kind: string, macos?: string, libraries: string[], rpaths: string[] }}
 * @throws Error when it is no Mach-O file of 64 bits, or is cut off
 */
export function readMachO(bytes) {
  if (bytes.length < headerBytes || bytes.readUInt32LE(0) !== magic64)
    throw new Error('this is no Mach-O file of 64 bits');
  const found = {
    cpu: cpuNames.get(bytes.readUInt32LE(4)) ?? 'unknown',
    kind: kindNames.get(bytes.readUInt32LE(12)) ?? 'unknown',
    libraries: [],
    rpaths: [],
  };
  for (const command of loadCommands(bytes)) readCommand(command, found);
  return found;
}

function* loadCommands(bytes) {
  let at = headerBytes;
  for (let left = bytes.readUInt32LE(16); left > 0; left--) {
    if (at + 8 > bytes.length) throw new Error('the Mach-O file is cut off');
    const size = bytes.readUInt32LE(at + 4);
    if (size < 8 || at + size > bytes.length) throw new Error('the Mach-O file is cut off');
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

function readCommand(command, found) {
  const type = command.readUInt32LE(0);
  if (loadsDylib.includes(type)) found.libraries.push(textAt(command));
  if (type === loadRpath) found.rpaths.push(textAt(command));
  if (type !== buildVersion || command.readUInt32LE(8) !== macos) return;
  const version = command.readUInt32LE(12);
  found.macos = `${version >> 16}.${(version >> 8) & 0xff}`;
}

/** The string that a command ends in; its offset is the first field behind type and size. */
function textAt(command) {
  const text = command.subarray(command.readUInt32LE(8)).toString('utf8');
  return text.slice(0, text.indexOf('\0'));
}

/**
 * Symbols that others have to bring.
 * @param {Buffer} bytes
 * @returns {{ name: string, library?: string }[]} library: which one brings it; none: whoever has it when the file is opened
 * @throws Error when it is no Mach-O file of 64 bits, or is cut off
 */
export function undefinedSymbols(bytes) {
  const { libraries } = readMachO(bytes);
  const table = [...loadCommands(bytes)].find((command) => command.readUInt32LE(0) === symbolTable);
  if (!table) return [];
  const [symbols, count, strings] = [8, 12, 16].map((at) => table.readUInt32LE(at));
  if (symbols + count * symbolBytes > bytes.length) throw new Error('the Mach-O file is cut off');
  return Array.from({ length: count }, (_, i) => bytes.subarray(symbols + i * symbolBytes))
    .filter(isUndefined)
    .map((symbol) => {
      const from = strings + symbol.readUInt32LE(0);
      const library = libraries[symbol[7] - 1];
      return { name: bytes.toString('utf8', from, bytes.indexOf(0, from)), ...(library ? { library } : {}) };
    });
}

/** External, and in no section. */
function isUndefined(symbol) {
  const type = symbol[4];
  return (type & 0xe0) === 0 && (type & 0x0e) === 0 && (type & 1) === 1;
}
