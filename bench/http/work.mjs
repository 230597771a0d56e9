// What both sides are asked.
export const tokensOfAnswer = 128;

/** New in each turn, so that every answer is computed. */
export function question(number, turn) {
  return `Write something about the number ${number} and the number ${turn}.`;
}
