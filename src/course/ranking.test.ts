// How shared weights rank architectures: against networks built by hand, without a trace in the search.
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import {
  advance,
  bundledSources,
  type CourseOf,
  oneStageSearch,
  searchConfig,
  twoStageSearch,
} from "../../test/support/courses.js";
import { temporaryFolder } from "../../test/support/data.js";
import { kendallTau } from "../base/kendall-tau.js";
import { RandomStream } from "../base/random.js";
import { liveTensorCount, Tensor } from "../engine/tensor.js";
import { AccuracyTable } from "../formats/accuracy-table.js";
import type { TwoStageSearch } from "../methods/ista/two-stage.js";
import { Network } from "../nn/network.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import { randomSelection, type Selection, superNetwork } from "../space/space.js";
import { evaluate } from "./evaluate.js";
import { rankArchitectures, ranksArchitectures } from "./ranking.js";
import { type Search, SearchCourse } from "./search.js";
import { networkShape } from "./shape.js";
import { recomputeStatistics } from "./statistics.js";

const { write } = temporaryFolder();
const goOn = (): boolean => false;
const flags = { space: "nas-bench-201", channels: 4, codeLearningRate: 0.05 } as const;
const [{ format, parse }] = nasBench201.texts;

const drawn = Array.from({ length: 12 }, (_, seed) =>
  randomSelection(nasBench201, RandomStream.named(seed, "table")),
);
const knownOf = (index: number): number => 50 + ((7 * index) % 12);
const rows = drawn.map((selection, index) => `${format(selection)},${90 - index},${knownOf(index)}`);

let course: CourseOf<TwoStageSearch>;
let table: AccuracyTable;
beforeAll(async () => {
  const path = write("table.csv", `architecture,test,validation\n${rows.join("\n")}\n`);
  table = AccuracyTable.read(path, nasBench201);
  course = await twoStageSearch(flags);
  await advance(course, { epoch: 0, step: 0 }, 8);
});
afterAll(() => course.dispose());

let before: unknown;
const stateOf = () => ({ selection: course.search.network.description.selection, saved: course.save() });
beforeEach(() => {
  before = stateOf();
});

describe("rankArchitectures", () => {
  it("gives the accuracies of networks with the shared weights, and tau between them and the table", async () => {
    const ranking = (await rankArchitectures(course, table, 5, goOn))!;
    expect(ranking).toMatchObject({ column: "validation", architectures: 5 });
    const config = searchConfig(flags);
    const sources = await bundledSources(config);
    const shared = course.search.network.stateDict();
    for (const { genotype, sharedAccuracy, knownAccuracy } of ranking.rows) {
      const selection: Selection = nasBench201.fromGenotype(genotype);
      expect(knownAccuracy).toBe(table.lookup(selection)!.validation);
      const description = superNetwork(
        nasBench201,
        networkShape(config, sources),
        nasBench201.norms.twoStageSuperNet,
        selection,
      );
      // What was never trained is at its initial values, those of the search's seed.
      const network = new Network(description, { seed: config.seed });
      for (const name of network.stateDict().keys()) {
        const tensor = shared.get(name);
        if (tensor !== undefined) network.loadStatistics(new Map([[name, tensor]]));
      }
      // w = A_S^T (b - A_S z_S) + z_S, entry by entry.
      const weights = new Map(
        nasBench201.choices.map(({ id }, index) => {
          const { measurement, recovery, compressed } = course.search.codes[index];
          const { rows, columns, data } = measurement;
          const column = (entry: number, row: number): number => data[row * columns + entry];
          const values = selection[index].map((entry) => {
            let step = recovery.code[entry];
            for (let row = 0; row < rows; row++) {
              const seen = selection[index].reduce(
                (sum, other) => sum + column(other, row) * recovery.code[other],
                0,
              );
              step += column(entry, row) * (compressed[row] - seen);
            }
            return step;
          });
          return [id, Tensor.from(Float32Array.from(values))];
        }),
      );
      const { training, validation } = sources;
      await recomputeStatistics(network, training, training.batchCount, { weights });
      expect(sharedAccuracy).toBe((await evaluate(network, validation!, { weights }))!.top1);
      for (const tensor of weights.values()) tensor.dispose();
      network.dispose();
    }
    const column = (key: "sharedAccuracy" | "knownAccuracy"): number[] => ranking.rows.map((row) => row[key]);
    expect(ranking.tau).toBe(kendallTau(column("sharedAccuracy"), column("knownAccuracy")));
  });

  it("says how many of the drawn candidates were trained", async () => {
    const { candidates, trainedCandidates } = (await rankArchitectures(course, table, 12, goOn))!;
    const withNorms = (selection: Selection): string[] =>
      selection.flatMap((chosen, choice) =>
        chosen
          .filter((index) => /conv/.test(nasBench201.choices[choice].candidates[index].operation))
          .map((index) => `${choice}/${index}`),
      );
    const all = new Set(drawn.flatMap(withNorms));
    expect(candidates).toBe(all.size);
    const counts = course.search.network.saveStatistics();
    const trained = [...all].filter((key) => {
      const [choice, index] = key.split("/").map(Number);
      const { predecessor } = nasBench201.choices[choice].candidates[index];
      const name = `cells.0.edges.${choice + 1}<-${predecessor}.${index % 5}.op.2.num_batches_tracked`;
      return Number(counts.get(name)?.data[0] ?? 0) > 0;
    });
    expect(trained.length).toBeGreaterThan(0);
    expect(trained.length).toBeLessThan(all.size);
    expect(trainedCandidates).toBe(trained.length);
  });

  it("is the same again, draws by the seed, and changes nothing that the search goes on with", async () => {
    const ranked: number[] = [];
    const first = (await rankArchitectures(course, table, 4, goOn, (done) => ranked.push(done)))!;
    expect(ranked).toEqual([1, 2, 3, 4]);
    expect(await rankArchitectures(course, table, 4, goOn)).toEqual(first);
    const more = (await rankArchitectures(course, table, 6, goOn))!;
    expect(more.rows.slice(0, 4)).toEqual(first.rows);
    expect((stateOf() as { selection: unknown }).selection).toEqual(
      (before as { selection: unknown }).selection,
    );
    const [{ saved }, now] = [before as ReturnType<typeof stateOf>, course.save()];
    expect(now.state).toEqual(saved.state);
    for (const [name, tensor] of saved.tensors.model)
      expect(now.tensors.model.get(name), name).toEqual(tensor);
  });

  it("ranks all of a small table, and an architecture of each once", async () => {
    const ranking = (await rankArchitectures(course, table, 1000, goOn))!;
    expect(ranking.architectures).toBe(12);
    const texts = ranking.rows.map(({ genotype }) => format(nasBench201.fromGenotype(genotype)));
    expect(texts.sort()).toEqual(drawn.map((selection) => format(selection)).sort());
  });

  it("ends when it is stopped, before and inside of an evaluation", async () => {
    await rankArchitectures(course, table, 12, goOn);
    const [state, tensors] = [stateOf(), liveTensorCount()];
    for (const turns of [0, 1, 7]) {
      let asked = 0;
      expect(await rankArchitectures(course, table, 12, () => asked++ >= turns)).toBeNull();
    }
    expect(liveTensorCount()).toBe(tensors);
    expect(stateOf()).toEqual(state);
  });

  it("has no tau where accuracies do not differ", async () => {
    const cell = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|";
    const path = write("one.csv", `architecture,validation\n${cell},10\n`);
    const one = AccuracyTable.read(path, nasBench201);
    const ranking = (await rankArchitectures(course, one, 3, goOn))!;
    expect(ranking).toMatchObject({ tau: null, architectures: 1, candidates: 0, trainedCandidates: 0 });
    expect(nasBench201.fromGenotype(ranking.rows[0].genotype)).toEqual(parse(cell));
  });
});

it("of a search that says nothing of weights every candidate counts with 1", async () => {
  const { search, context } = course;
  const { network, selection, reachable } = search;
  const plain = new SearchCourse(context, {
    network,
    selection,
    reachable,
    weights: () => new Map(),
  } as unknown as Search);
  const seen: unknown[] = [];
  const forward = network.forward.bind(network);
  vi.spyOn(network, "forward").mockImplementation((images, options) => {
    seen.push(options.weights);
    return forward(images, options);
  });
  await rankArchitectures(plain, table, 1, goOn);
  vi.restoreAllMocks();
  expect(new Set(seen)).toEqual(new Set([undefined]));
});

it("a search that freed weights of candidates does not rank", async () => {
  expect(ranksArchitectures(course.search)).toBe(true);
  const oneStage = await oneStageSearch({ ...flags, epochs: 1 });
  expect(ranksArchitectures(oneStage.search)).toBe(true);
  await advance(oneStage, { epoch: 0, step: 0 }, oneStage.stepCount);
  expect(ranksArchitectures(oneStage.search)).toBe(false);
  oneStage.dispose();
});
