// The plan of a network's forward pass: its instructions with the tensors that the operators take, in the order in which they want them.
import type { NormTensors, PatternKind } from "../engine/operators.js";
import type { Tensor } from "../engine/tensor.js";
import {
  type Convolution,
  type Graph,
  type Layer,
  type LayerWithWeights,
  type Linear,
  layersWithWeights,
  type Norm,
  type Place,
  type Value,
} from "../space/graph.js";
import { endingNorms } from "../space/tensors.js";
import { type Branch, type Instruction, instructionsOf, readsOf } from "./patterns.js";
import type { TensorStore } from "./tensor-store.js";

/** The branches of a sum, flattened as `ista::node` takes them. */
export interface NodeArguments {
  readonly inputs: readonly Value[];
  readonly kinds: PatternKind[];
  readonly settings: number[];
  readonly convolutions: Tensor[];
  readonly norms: (Tensor | null)[];
  readonly dropped: readonly boolean[];
}

export type PlannedStep = Instruction & {
  /** Values that nothing reads after this step, perhaps its own. */
  readonly finished: readonly Value[];
  readonly part: Place["part"];
  readonly node: NodeArguments | null;
};

export interface NetworkPlan {
  readonly graph: Graph;
  readonly steps: readonly PlannedStep[];
  /** Parameters that training changes, by name. */
  readonly trainable: ReadonlyMap<string, Tensor>;
  /** Names of the batch norms whose statistics a training batch changes. */
  readonly norms: readonly string[];
  convolution(layer: Convolution): Tensor;
  norm(layer: Norm | null): NormTensors;
  linear(layer: Linear): { readonly weight: Tensor; readonly bias: Tensor };
}

const noNorm: NormTensors = [null, null, null, null];

/**
 * Whether a batch norm of a candidate has trainable gamma and beta; otherwise they stay at what they are, (1, 0) in a search, where the
 * candidate's weight takes the part of those of the norm that it ends in.
 * @param ends whether the candidate ends in it
 */
export type AffineRule = (place: Place, ends: boolean) => boolean;

/** Looks up (and where new, makes) every tensor of the network that the graph is of. */
export function planNetwork(
  graph: Graph,
  store: TensorStore,
  trainsAffine: AffineRule = () => true,
): NetworkPlan {
  const layers = layersWithWeights(graph);
  const ending = endingNorms(layers);
  const trainable = new Map<string, Tensor>();
  const tensors = new Map<Layer, Record<string, Tensor>>();
  for (const layer of layers) {
    const held = store.layer(layer);
    tensors.set(layer, held);
    for (const suffix of ["weight", "bias"]) {
      const tensor = held[suffix];
      if (tensor === undefined) continue;
      const ofCandidate = layer.kind === "norm" && layer.place.choice !== undefined;
      if (ofCandidate && !trainsAffine(layer.place, ending.has(layer))) tensor.setRequiresGrad(false);
      else trainable.set(`${layer.name}.${suffix}`, tensor);
    }
  }
  const held = (layer: LayerWithWeights): Record<string, Tensor> => tensors.get(layer)!;
  const convolution = (layer: Convolution): Tensor => held(layer).weight;
  const norm = (layer: Norm | null): NormTensors => {
    if (layer === null) return noNorm;
    const { weight, bias, running_mean, running_var } = held(layer);
    return [weight ?? null, bias ?? null, running_mean, running_var];
  };
  const nodeArguments = (branches: readonly Branch[]): NodeArguments => ({
    inputs: branches.map(({ input }) => input),
    kinds: branches.map(({ kind }) => kind),
    settings: branches.flatMap(({ kernel, dilation, stride, stages }) => [kernel, dilation, stride, stages]),
    convolutions: branches.flatMap(({ convolutions }) => convolutions.map(convolution)),
    norms: branches.flatMap(({ norms }) => norms.flatMap(norm)),
    dropped: branches.map(({ dropped }) => dropped),
  });
  const instructions = instructionsOf(graph);
  const lastReader = new Map<Value, number>();
  for (const [index, instruction] of instructions.entries())
    for (const value of readsOf(instruction)) lastReader.set(value, index);
  const kept = new Set<Value | null>([0, graph.logits, graph.auxiliaryLogits]);
  return {
    graph,
    steps: instructions.map((instruction, index) => ({
      ...instruction,
      part: graph.layers[instruction.value].place.part,
      finished: [...new Set([...readsOf(instruction), instruction.value])].filter(
        (value) => (lastReader.get(value) ?? index) === index && !kept.has(value),
      ),
      node: instruction.kind === "node" ? nodeArguments(instruction.branches) : null,
    })),
    trainable,
    norms: layers.filter((layer) => layer.kind === "norm").map(({ name }) => name),
    convolution,
    norm,
    linear: (layer) => {
      const { weight, bias } = held(layer);
      return { weight, bias };
    },
  };
}
