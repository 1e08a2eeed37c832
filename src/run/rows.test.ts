// Records as tables: every value has a column, named by its path.
import { expect, it } from "vitest";
import { flatRows, tableOf } from "./rows.js";

const records = [
  {
    epoch: 0,
    loss: 2.5,
    phase: "search",
    choices: [
      { choice: "node 2", support: [0, 3], frozen: false },
      { choice: "node 3", support: [1], residual: null },
    ],
    genotype: { normal: [["skip_connect", 0]] },
  },
  { epoch: 1, loss: 2, phase: 'a "word", with a comma', extra: [] },
];

it("has a column for every value of any record, and leaves out none", () => {
  const [columns, first, second] = tableOf(flatRows(records));
  expect(columns).toEqual([
    ...["epoch", "loss", "phase"],
    ...["choices.node 2.choice", "choices.node 2.support", "choices.node 2.frozen"],
    ...["choices.node 3.choice", "choices.node 3.support", "choices.node 3.residual"],
    ...["genotype.normal.0", "extra"],
  ]);
  expect(first).toEqual([
    ...["0", "2.5", "search", "node 2", "0 3", "false", "node 3", "1", "", "skip_connect 0", ""],
  ]);
  expect(second.slice(0, 3)).toEqual(["1", "2", 'a "word", with a comma']);
  expect(second.slice(3).every((field) => field === "")).toBe(true);
});
