// What a search tried, and since when its answer stands.
import { describe, expect, it } from "vitest";
import { darts } from "../space/darts/space.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { Exploration, explorationLine } from "./exploration.js";

const first = [[0], [0, 5], [0, 5, 10]];
const second = [[0], [1, 5], [0, 5, 11]];

function explored(): Exploration {
  const exploration = new Exploration(nasBench201, first);
  for (const network of [first, second, [[3], [0, 9], [0, 5, 10]]]) exploration.noteNetwork(network);
  expect(exploration.noteAnswer(first)).toBe(0);
  expect(exploration.noteAnswer(second)).toBe(2);
  for (let epoch = 0; epoch < 6; epoch++) exploration.noteAnswer(second);
  return exploration;
}

describe("exploration", () => {
  it("counts each connection once", () => {
    expect(explored().figures).toEqual({ connectionsTried: 10, connections: 30, lastChange: 2, epochs: 8 });
  });

  it("is as before when it is saved and restored", () => {
    const before = explored();
    const after = new Exploration(nasBench201, first);
    after.restore(JSON.parse(JSON.stringify(before.save())));
    expect(after.figures).toEqual(before.figures);
    expect(after.noteAnswer(second)).toBe(0);
    after.noteNetwork([[4], [0, 5], [0, 5, 10]]);
    expect(after.figures.connectionsTried).toBe(11);
  });

  it("begins anew where a run kept none, or one of another space", () => {
    for (const state of [undefined, new Exploration(darts, darts.named.ISTA_twostage.selection).save()]) {
      const exploration = explored();
      exploration.restore(state);
      expect(exploration.figures).toEqual(explored().figures);
    }
  });

  it("says whether the search explored and decided", () => {
    const line = explorationLine(explored().figures);
    expect(line).toBe("explored 10 of 30 connections (33 %); decided: its answer stands since epoch 2 of 8");
    expect(explorationLine({ ...explored().figures, lastChange: 7 })).toBe(
      "explored 10 of 30 connections (33 %); not decided: its answer still changed in epoch 7 of 8",
    );
  });
});
