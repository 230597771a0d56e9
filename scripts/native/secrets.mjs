/** Patterns of credentials, and the check of one file's text against them. */

// Shapes that their issuers document; random-looking text alone is no finding.
const patterns = [
  ['private key', /-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----/],
  ['AWS access key', /\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b/],
  ['GitHub token', /\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b/],
  ['GitLab token', /\bglpat-[\w-]{20,}/],
  ['npm token', /\bnpm_[A-Za-z0-9]{36}\b/],
  ['Hugging Face token', /\bhf_[A-Za-z]{34,}\b/],
  ['PyPI token', /\bpypi-AgEIcHlwaS5vcmc[\w-]{50,}/],
  ['Slack token', /\bxox[abeoprs]-[\w-]{10,}/],
  ['Slack webhook', /hooks\.slack\.com\/services\/T\w{8,}\/B\w{8,}\/\w{20,}/],
  ['Google API key', /\bAIza[\w-]{35}\b/],
  ['Stripe key', /\b[rs]k_(?:live|test)_[A-Za-z0-9]{20,}/],
  ['OpenAI key', /\bsk-(?:proj-|svcacct-|admin-)?[\w-]{20,}T3BlbkFJ[\w-]{20,}/],
  ['Anthropic key', /\bsk-ant-[a-z0-9]+-[\w-]{80,}/],
  ['JSON web token', /\beyJ[\w-]{15,}\.eyJ[\w-]{15,}\.[\w-]{20,}/],
  // Hosts under the reserved names (RFC 2606) belong to nobody, and `user:password` is what manuals write.
  [
    'password in a URL',
    /\b[a-z][a-z0-9+]*:\/\/(?!user:password@)[^\s/:@'"`$<{]+:[^\s/:@'"`$<{]{3,}@(?!([\w-]+\.)*(test|example|invalid|localhost)\b)[^\s/'"`]+/i,
  ],
];

/** The largest file that may be tracked, in bytes: a tiny checkpoint of six layers in bf16 is one. */
export const maxFileBytes = 700_000;

/**
 * @param {string} name for the findings
 * @param {Buffer} content
 * @returns {string[]} one line per finding: what and where, never the secret itself
 */
export function findings(name, content) {
  const found = [];
  if (content.length > maxFileBytes) {
    found.push(
      `${name}: ${content.length} bytes, more than the ${maxFileBytes} that a tracked file may have`,
    );
  }
  if (content.includes(0)) return found;
  content
    .toString('utf8')
    .split('\n')
    .forEach((line, index) => {
      const hit = patterns.find(([, pattern]) => pattern.test(line));
      if (hit) found.push(`${name}:${index + 1}: looks like a ${hit[0]}`);
    });
  return found;
}
