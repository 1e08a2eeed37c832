// Which operators compute a network: one fused branch for every candidate, and nothing that belongs to somebody else in it.
import { afterEach, describe, expect, it } from "vitest";
import { operators } from "../engine/operators.js";
import { darts } from "../space/darts/space.js";
import type { Graph } from "../space/graph.js";
import { vectorNames } from "../space/mixture.js";
import { nasBench201 } from "../space/nas-bench-201/space.js";
import {
  allCandidates,
  type Candidate,
  evaluationNetwork,
  type NetworkDescription,
  type NetworkShape,
  type NormPlacement,
  type Selection,
  superNetwork,
} from "../space/space.js";
import { hasKernel, Network } from "./network.js";
import { type Branch, type Instruction, instructionsOf, patternName } from "./patterns.js";

const shape: NetworkShape = {
  cells: 6,
  channels: 4,
  inputChannels: 3,
  classes: 5,
  imageHeight: 16,
  imageWidth: 16,
  stem: "cifar",
  auxiliary: false,
};

const graphOf = (network: NetworkDescription): Graph => network.space.graph(network);
type NodeInstruction = Instruction & { kind: "node" };
const isNode = (instruction: Instruction): instruction is NodeInstruction => instruction.kind === "node";
const kindsOf = (instructions: readonly Instruction[]): string[] =>
  instructions.map((one) => (one.kind === "layer" ? one.layer.kind : one.kind));

const patterns: Record<string, string> = {
  max_pool_3x3: "max-pool 3x3",
  avg_pool_3x3: "average-pool 3x3",
  skip_connect: "identity",
  sep_conv_3x3: "separable 3x3",
  sep_conv_5x5: "separable 5x5",
  dil_conv_3x3: "separable 3x3 dilation 2",
  dil_conv_5x5: "separable 5x5 dilation 2",
  nor_conv_1x1: "dense",
  nor_conv_3x3: "dense 3x3",
};

/** What a branch must be, in words. */
function expectedBranch({ operation }: Candidate, stride: number, norms: NormPlacement): string {
  const identity = operation === "skip_connect" && stride === 1;
  const reduce = operation === "skip_connect" && stride === 2;
  const name = reduce ? "factorized-reduce" : patterns[operation];
  const normed = identity ? norms.afterSkip : operation.includes("pool") ? norms.afterPool : true;
  const count = operation.startsWith("sep_conv") ? 2 : 1;
  return [
    `${name}${stride === 2 ? " stride 2" : ""}`,
    `${operation.startsWith("sep_conv") ? 2 : 1} stages`,
    `${normed ? count : 0} norms`,
    identity ? "kept" : "dropped",
  ].join(", ");
}

const branchInWords = (branch: Branch): string =>
  [
    patternName(branch),
    `${branch.stages} stages`,
    `${branch.norms.filter((norm) => norm !== null).length} norms`,
    branch.dropped ? "dropped" : "kept",
  ].join(", ");

/** Every node of every cell with the candidates that it keeps: pattern, input and weight of each, in order, zeros left out. */
function checkNodes(network: NetworkDescription): void {
  const { space, norms, selection, form } = network;
  const graph = graphOf(network);
  const instructions = instructionsOf(graph);
  const cells = new Map<number, NodeInstruction[]>();
  for (const instruction of instructions.filter(isNode)) {
    const { cell, cellType } = graph.layers[instruction.value].place;
    if (cellType !== "residual block") cells.set(cell!, [...(cells.get(cell!) ?? []), instruction]);
  }
  expect(cells.size).toBe(shape.cells);
  for (const nodes of cells.values()) {
    const { cell, cellType } = graph.layers[nodes[0].value].place;
    const own = [...space.choices.keys()].filter((choice) => space.choices[choice].group === cellType);
    const states =
      space === darts
        ? ["preprocess0", "preprocess1"].map(
            (part) =>
              instructions.find(
                ({ name, kind }) =>
                  ["dense", "factorized-reduce"].includes(kind) && name.startsWith(`cells.${cell}.${part}.`),
              )!.value,
          )
        : [nodes[0].branches[0].input];
    expect(nodes).toHaveLength(own.length);
    for (const [node, { value, branches, weights }] of nodes.entries()) {
      const choice = space.choices[own[node]];
      const kept = selection[own[node]].map((index) => choice.candidates[index]);
      const positions = [...kept.keys()].filter((position) => kept[position].operation !== "none");
      const stride = (from: number): number => (cellType === "reduction" && from < 2 ? 2 : 1);
      expect(branches.map(branchInWords)).toEqual(
        positions.map((position) => {
          const candidate = kept[position];
          return expectedBranch(candidate, stride(candidate.predecessor), norms);
        }),
      );
      expect(branches.map(({ input }) => input)).toEqual(
        positions.map((position) => states[kept[position].predecessor]),
      );
      expect(branches.every(hasKernel)).toBe(true);
      expect(weights).toEqual(
        form === "super-net" ? { vector: vectorNames.candidates(choice), indices: positions } : null,
      );
      states.push(value);
    }
  }
}

/** Layers that libtorch computes one by one, besides those that come with every network. */
const strayLayers = (network: NetworkDescription): string[] =>
  instructionsOf(graphOf(network)).flatMap((one) =>
    one.kind === "layer" && !["concatenate", "global-pool", "linear"].includes(one.layer.kind)
      ? [`${one.layer.kind} ${graphOf(network).layers[one.value].place.part}`]
      : [],
  );

describe.each([darts, nasBench201])("every candidate of $name is one fused branch", (space) => {
  const placements = Object.entries(space.norms);
  const operations = [...new Set(space.choices[0].candidates.map(({ operation }) => operation))];
  /** Of every choice one operation, on the predecessors in their order. */
  const uniform = (operation: string): Selection =>
    space.choices.map(({ candidates, kept }) =>
      [...candidates.keys()].filter((index) => candidates[index].operation === operation).slice(0, kept),
    );

  it.each(placements)("in a super-net with %s norms", (_, norms) => {
    const network = superNetwork(space, shape, norms);
    checkNodes(network);
    expect(strayLayers(network)).toEqual(space === darts ? [] : ofNasBench201);
  });

  it.each(placements)("in evaluation networks with %s norms", (_, norms) => {
    for (const operation of operations.filter((one) => one !== "none")) {
      const network = evaluationNetwork({ space, selection: uniform(operation) }, shape, norms);
      checkNodes(network);
      expect(strayLayers(network)).toEqual(space === darts ? [] : ofNasBench201);
    }
  });

  it("in the published networks", () => {
    for (const { selection, norms } of Object.values(space.named)) {
      const network = evaluationNetwork({ space, selection }, shape, norms);
      checkNodes(network);
      expect(strayLayers(network)).toEqual(space === darts ? [] : ofNasBench201);
    }
  });
});

/** The shortcuts of both residual blocks, and what is before the classifier. */
const ofNasBench201 = ["pool cell", "pool cell", "norm classifier", "relu classifier"];

describe("the instructions of a network", () => {
  it("are four nodes a cell and two preprocessings in DARTS, five calls besides in the auxiliary head", () => {
    const { selection } = darts.named.ISTA_twostage;
    const network = evaluationNetwork({ space: darts, selection }, { ...shape, cells: 3, auxiliary: true });
    const cell = ["node", "node", "node", "node", "concatenate"];
    expect(kindsOf(instructionsOf(graphOf(network)))).toEqual([
      "dense",
      ...["dense", "dense", ...cell],
      ...["dense", "dense", ...cell],
      ...["factorized-reduce", "dense", ...cell],
      ...["relu", "pool", "dense", "dense", "relu", "linear"],
      "global-pool",
      "linear",
    ]);
  });

  it("are of the ImageNet stem one for each convolution", () => {
    const { selection } = darts.named.ISTA_ImageNet;
    const large = { ...shape, cells: 3, imageHeight: 64, imageWidth: 64, stem: "imagenet" } as const;
    const [first, second, third, ...rest] = instructionsOf(
      graphOf(evaluationNetwork({ space: darts, selection }, large)),
    );
    expect([first, second, third]).toMatchObject([
      { kind: "dense", name: "stem0.1", rectified: false, norm: { name: "stem0.1" } },
      { kind: "dense", name: "stem0.4", rectified: true, norm: { name: "stem0.4" } },
      { kind: "dense", name: "stem1.2", rectified: true, norm: { name: "stem1.2" } },
    ]);
    expect(rest[0]).toMatchObject({ kind: "factorized-reduce", name: "cells.0.preprocess0.bn" });
  });

  it("sum the shortcut and the second convolution of a residual block in one call", () => {
    const { selection } = nasBench201.named.all_nor_conv_3x3;
    const network = evaluationNetwork({ space: nasBench201, selection }, { ...shape, cells: 3 });
    const instructions = instructionsOf(graphOf(network));
    expect(kindsOf(instructions)).toEqual([
      "dense",
      ...["node", "node", "node"],
      ...["dense", "pool", "dense", "node"],
      ...["node", "node", "node"],
      ...["dense", "pool", "dense", "node"],
      ...["node", "node", "node"],
      ...["norm", "relu", "global-pool", "linear"],
    ]);
    const block = instructions.find(({ name, kind }) => name === "cells.1" && kind === "node");
    expect((block as NodeInstruction).branches.map(branchInWords)).toEqual([
      "identity, 1 stages, 0 norms, kept",
      "dense 3x3, 1 stages, 1 norms, kept",
    ]);
  });

  it("never fold preprocessing into a node, though a single operation reads it", () => {
    const find = (choice: number, operation: string, predecessor: number): number =>
      darts.choices[choice].candidates.findIndex(
        (one) => one.operation === operation && one.predecessor === predecessor,
      );
    for (const operation of Object.keys(patterns).filter((name) => !name.startsWith("nor_"))) {
      const other = operation === "max_pool_3x3" ? "skip_connect" : "max_pool_3x3";
      // Node 2 takes both inputs; nobody else does.
      const selection = darts.choices.map((_, choice) =>
        choice % 4 === 0
          ? [find(choice, operation, 0), find(choice, operation, 1)]
          : [find(choice, operation, 2), find(choice, other, 2)],
      );
      for (const norms of Object.values(darts.norms)) {
        const network = superNetwork(darts, shape, norms, selection);
        checkNodes(network);
        const names = instructionsOf(graphOf(network)).map(({ name }) => name);
        for (let cell = 0; cell < shape.cells; cell++)
          expect(names.filter((name) => name.startsWith(`cells.${cell}.preprocess`))).toHaveLength(2);
      }
    }
  });

  it("leave zeros out, and are one of zeros where a node is nothing else", () => {
    const of = (text: string): Instruction[] => {
      const selection = nasBench201.texts[0].parse(text);
      const network = superNetwork(
        nasBench201,
        { ...shape, cells: 3 },
        nasBench201.norms.oneStageSuperNet,
        selection,
      );
      return instructionsOf(graphOf(network)).filter(({ name }) => name.startsWith("cells.0, "));
    };
    const some = of("|nor_conv_1x1~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_3x3~2|");
    expect(some.map((one) => isNode(one) && one.branches.map(({ kind }) => kind))).toEqual([
      ["dense"],
      ["identity"],
      ["average-pool", "dense"],
    ]);
    expect(some.map((one) => isNode(one) && one.weights?.indices)).toEqual([[0], [1], [0, 2]]);
    const nothing = of("|none~0|+|skip_connect~0|nor_conv_3x3~1|+|skip_connect~0|skip_connect~1|none~2|");
    expect(kindsOf(nothing)).toEqual(["zeros", "node", "node"]);
    // Node 2, that nobody takes up, is computed all the same: its batch norm sees the batch.
    expect(nothing.map(({ name }) => name)).toEqual([
      "cells.0, node 1",
      "cells.0, node 2",
      "cells.0, node 3",
    ]);
  });

  it("of a partial super-net are a node for the candidates of each predecessor and one for their sum", () => {
    const network = {
      ...superNetwork(darts, { ...shape, channels: 8 }, darts.norms.twoStageSuperNet, allCandidates(darts)),
      partialChannels: 4,
    };
    const nodes = instructionsOf(graphOf(network)).filter(isNode).slice(0, 3);
    expect(nodes.map(({ name, branches, weights }) => [name, branches.length, weights])).toEqual([
      ["cells.0, node 2, from 0", 7, { vector: "normal/0/from-0", indices: [0, 1, 2, 3, 4, 5, 6] }],
      ["cells.0, node 2, from 1", 7, { vector: "normal/0/from-1", indices: [0, 1, 2, 3, 4, 5, 6] }],
      ["cells.0, node 2", 2, { vector: "normal/0/predecessors", indices: [0, 1] }],
    ]);
    expect(nodes[2].branches.map(({ kind }) => kind)).toEqual(["identity", "identity"]);
  });
});

describe("kernels", () => {
  const open: Network[] = [];
  afterEach(() => {
    for (const network of open.splice(0)) network.dispose();
  });

  it("are there for all that the built-in spaces compute", () => {
    for (const space of [darts, nasBench201]) {
      const network = new Network(superNetwork(space, shape, space.norms.oneStageSuperNet), { seed: 1 });
      open.push(network);
      expect(network.compositions).toEqual([]);
    }
    expect(operators.nodeAccepts("separable", 9, 1, 1, 2)).toBe(false);
  });
});
