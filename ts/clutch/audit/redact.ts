/**
 * Keeps secrets out of what is written down: by the name they stand under, by their form, and those that are known.
 * Pure.
 */

export const redacted = '[redacted]';

/** A value of JSON without secrets. */
export type Redact = (value: unknown) => unknown;

const secretWords =
  'api_?key|access_?key|private_?key|secret|password|passwd|passphrase|credentials?|authorization|cookie|token';
/** Counts, such as `max_tokens`, do not end in these words. */
const secretName = new RegExp(`(^|_|x)(${secretWords})(_(id|value|base64))?$|^(auth|bearer|pwd)$|_key$`);

/** Whether what stands under this name is a secret: a header, an environment variable, a field. */
export function isSecretName(name: string): boolean {
  const snake = name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').replaceAll('-', '_');
  return secretName.test(snake.toLowerCase());
}

/** Forms that nothing but a secret has; a group that is kept comes first. */
const secretForms: readonly RegExp[] = [
  /()-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\b((?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}/gi,
  /()\b(?:sk|rk|pk)-[A-Za-z0-9_-]{16,}/g,
  /()\bAIza[A-Za-z0-9_-]{30,}/g,
  /()\b(?:gh[opsur]_|github_pat_|glpat-|npm_|hf_)[A-Za-z0-9_-]{16,}/g,
  /()\bxox[abeoprs]-[A-Za-z0-9-]{10,}/g,
  /()\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
  /()\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*/g,
  // The password of an address.
  /(:\/\/[^\s/:@]{1,200}:)[^\s/@]{1,500}(?=@)/g,
  // In texts that are code, JSON, forms or settings: NAME_KEY=value, "password": "value", ?key=value.
  /((?:api[_-]?key|[_-]key|[?&]key|secret|password|passwd|passphrase|token|authorization)\\?["']?\s*[:=]\s*\\?["']?)(?!\[redacted\])[^\s"'\\,;&{}()<>]{4,}/gi,
];

const shortestKnown = 4;

/** @param known secrets that the process holds, such as the keys of providers */
export function redactor(known: readonly string[] = []): Redact {
  const texts = known.filter((text) => text.length >= shortestKnown).flatMap(writtenForms);
  // A secret that contains another goes first.
  const values = [...new Set(texts)].sort((a, b) => b.length - a.length);
  const cleanText = (text: string): string => {
    const unknown = values.reduce((left, value) => left.replaceAll(value, redacted), text);
    return secretForms.reduce((left, form) => left.replace(form, `$1${redacted}`), unknown);
  };
  return (value) => cleanValue(value, false, cleanText);
}

type CleanText = (text: string) => string;

/** @param isSecret it stands, however deep, under the name of a secret */
function cleanValue(value: unknown, isSecret: boolean, cleanText: CleanText): unknown {
  if (typeof value === 'object' && value !== null) return cleanParts(value, isSecret, cleanText);
  if (isSecret && value !== null && typeof value !== 'boolean') return redacted;
  return typeof value === 'string' ? cleanText(value) : value;
}

function cleanParts(value: object, isSecret: boolean, cleanText: CleanText): unknown {
  if (Array.isArray(value)) return value.map((item) => cleanValue(item, isSecret, cleanText));
  const entries = Object.entries(value).map(([name, content]) => {
    return [cleanText(name), cleanValue(content, isSecret || isSecretName(name), cleanText)];
  });
  return Object.fromEntries(entries);
}

/** As it stands in JSON, in an address, and in a header of basic authentication. */
function writtenForms(secret: string): string[] {
  return [
    secret,
    JSON.stringify(secret).slice(1, -1),
    encodeURIComponent(secret),
    Buffer.from(secret).toString('base64'),
  ];
}
