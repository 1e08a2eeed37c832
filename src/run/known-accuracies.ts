// What a table says of the architectures of runs, whether or not they had it beside them.
import { AccuracyTable } from "../formats/accuracy-table.js";
import { architectureOf } from "../space/registry.js";
import type { RunSummary } from "./summary.js";

/**
 * The runs with what a table says of their architectures; those without an architecture as they are.
 * @throws IstaError TABLE_INVALID, FILE_*, GENOTYPE_INVALID
 */
export function withTable<Run extends { readonly summary: RunSummary }>(
  runs: readonly Run[],
  path: string,
): Run[] {
  const tables = new Map<string, AccuracyTable>();
  return runs.map((run) => {
    const { genotype } = run.summary;
    if (genotype === null) return run;
    const { space, selection } = architectureOf(genotype);
    const table = tables.get(space.name) ?? AccuracyTable.read(path, space);
    tables.set(space.name, table);
    return { ...run, summary: { ...run.summary, knownAccuracies: table.lookup(selection) } };
  });
}
