/** Arguments of calls, for providers that want them as objects and not as the text that the model wrote. */

/** What is no JSON object is told as it is, under a name that says so. */
export function argumentsObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  return { malformed: text };
}
