/** What looks for damage, and mends it where it can. */

export interface Finding {
  /** Name of the check. */
  readonly check: string;
  /** What is damaged: a project, an agent, a file. */
  readonly subject: string;
  /** What is wrong, in a sentence. */
  readonly problem: string;
  /** What was done about it, in a sentence; null: nothing yet. */
  readonly repair: string | null;
  /** Worth knowing, but no damage. */
  readonly harmless?: true;
}

export interface Check {
  readonly name: string;
  /** @param repair mends what can be mended; otherwise nothing is changed. */
  run(repair: boolean): Promise<Finding[]>;
}
