/** Rules that figures must hold. */

/** What a definition's gates are refused for, in words. */
export function gateProblems(_gates: Readonly<Record<string, string>>): string[] {
  return []
}
