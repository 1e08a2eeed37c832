// What every search says of its architecture: lines for people.
import { type Choice, candidateName, type Selection } from "../space/space.js";

/** Runs of choices of one group, in order. */
function groupsOf(choices: readonly Choice[]): [group: string, indices: number[]][] {
  const groups = new Map<string, number[]>();
  for (const [index, { group }] of choices.entries())
    groups.set(group, [...(groups.get(group) ?? []), index]);
  return [...groups];
}

/**
 * A line per group: the kept candidates of each choice, new ones marked *.
 * @param notes what else to say of a group of choices, by their numbers
 * @param mark stands before a choice
 * @param shown groups without such a choice are left out
 */
export function selectionLines(
  choices: readonly Choice[],
  before: Selection,
  after: Selection,
  notes: (indices: readonly number[]) => readonly string[] = () => [],
  mark: (index: number) => string = () => "",
  shown: (index: number) => boolean = () => true,
): string[] {
  const groups = groupsOf(choices).filter(([, indices]) => indices.some(shown));
  const width = Math.max(...groups.map(([group]) => group.length));
  return groups.map(([group, indices]) => {
    let changed = 0;
    const parts = indices.map((index) => {
      const names = after[index].map((candidate) => {
        const name = candidateName(choices[index].candidates[candidate]);
        if (before[index].includes(candidate)) return name;
        changed += 1;
        return `*${name}`;
      });
      return `${mark(index)}${names.join(", ")}`;
    });
    const words = [changed === 0 ? "unchanged" : `${changed} new, marked *`, ...notes(indices)];
    return `  ${group.padEnd(width)} ${parts.join(" | ")}   (${words.join("; ")})`;
  });
}
