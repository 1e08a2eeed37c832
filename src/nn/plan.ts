// The plan of a network's forward pass: for every layer the tensors it takes, in the order that the operators want them.
import type { NormTensors } from "../engine/operators.js";
import type { Tensor } from "../engine/tensor.js";
import { intermediateNodeCount, operationIndex } from "../space/darts.js";
import {
  type CellLayout,
  type NetworkDescription,
  type NetworkLayout,
  networkLayout,
} from "../space/layout.js";
import { type Layer, layerList } from "../space/parameters.js";
import type { ParameterStore } from "./parameters.js";

/** One intermediate node: its connections, flattened as `ista::node` takes them. */
export interface NodePlan {
  readonly predecessors: number[];
  readonly operations: number[];
  readonly strides: number[];
  readonly convolutions: Tensor[];
  readonly norms: (Tensor | null)[];
  /** Which connections are stride-1 identities: drop-path spares them. */
  readonly identities: boolean[];
}

/** One of the two preprocessings: a 1x1 convolution, or the two of a factorised reduction, and the batch norm. */
export interface PreprocessPlan {
  readonly convolutions: Tensor[];
  readonly norm: NormTensors;
}

export interface CellPlan {
  readonly layout: CellLayout;
  readonly preprocess: readonly [PreprocessPlan, PreprocessPlan];
  readonly nodes: readonly NodePlan[];
}

/** A convolution (or linear layer) and the batch norm after it; four nulls where none follows. */
export interface ConvolutionPlan {
  readonly weight: Tensor;
  readonly norm: NormTensors;
}

export interface LinearPlan {
  readonly weight: Tensor;
  readonly bias: Tensor;
}

export interface NetworkPlan {
  readonly layout: NetworkLayout;
  readonly stem: readonly ConvolutionPlan[];
  readonly cells: readonly CellPlan[];
  readonly auxiliary: {
    readonly convolutions: readonly ConvolutionPlan[];
    readonly classifier: LinearPlan;
  } | null;
  readonly classifier: LinearPlan;
  /** Parameters that training changes, by name. */
  readonly trainable: ReadonlyMap<string, Tensor>;
  /** Names of the batch norms whose statistics a training batch changes. */
  readonly norms: readonly string[];
}

const noNorm: NormTensors = [null, null, null, null];

/**
 * Whether the batch norm that an edge's operation ends in has trainable gamma and beta; otherwise they stay at what they are,
 * (1, 0) in a search, where the connection's weight takes their part.
 */
export type AffineRule = (layer: Layer) => boolean;

/** The last batch norm of every edge that has one. */
function endingNorms(layers: readonly Layer[]): ReadonlySet<Layer> {
  const last = new Map<string, Layer>();
  for (const layer of layers) {
    if (layer.kind === "norm" && layer.edge !== undefined) last.set(layer.edge.name, layer);
  }
  return new Set(last.values());
}

/** Looks up (and where new, makes) every tensor of the network that the description names. */
export function planNetwork(
  description: NetworkDescription,
  store: ParameterStore,
  trainsAffine: AffineRule = () => true,
): NetworkPlan {
  const layout = networkLayout(description);
  const layers = layerList(description);
  const ending = endingNorms(layers);
  const trainable = new Map<string, Tensor>();
  const tensors = new Map<Layer, Record<string, Tensor>>();
  for (const layer of layers) {
    const held = store.layer(layer);
    tensors.set(layer, held);
    for (const suffix of ["weight", "bias"]) {
      const tensor = held[suffix];
      if (tensor === undefined) continue;
      if (ending.has(layer) && !trainsAffine(layer)) tensor.setRequiresGrad(false);
      else trainable.set(`${layer.name}.${suffix}`, tensor);
    }
  }
  const weight = (layer: Layer): Tensor => tensors.get(layer)!.weight;
  const norm = (layer: Layer | undefined): NormTensors => {
    if (layer === undefined) return noNorm;
    const { weight, bias, running_mean, running_var } = tensors.get(layer)!;
    return [weight ?? null, bias ?? null, running_mean, running_var];
  };

  /** Layers in order; each convolution with the batch norm right behind it. */
  const convolutionsWithNorms = (chain: readonly Layer[]): ConvolutionPlan[] =>
    chain.flatMap((layer, i) => {
      if (layer.kind !== "convolution") return [];
      const next = chain[i + 1];
      return [{ weight: weight(layer), norm: next?.kind === "norm" ? norm(next) : noNorm }];
    });
  const linear = (chain: readonly Layer[]): LinearPlan => {
    const { weight, bias } = tensors.get(chain.find(({ kind }) => kind === "linear")!)!;
    return { weight, bias };
  };
  const byEdge = new Map<string, Layer[]>();
  const byCell = new Map<number, Layer[]>();
  const collect = <Key>(map: Map<Key, Layer[]>, key: Key, layer: Layer): void => {
    map.set(key, [...(map.get(key) ?? []), layer]);
  };
  for (const layer of layers) {
    if (layer.edge !== undefined) collect(byEdge, layer.edge.name, layer);
    else if (layer.cell !== undefined) collect(byCell, layer.cell, layer);
  }

  const planNode = (cell: CellLayout, node: number): NodePlan => {
    const edges = cell.edges.filter((edge) => edge.node === node);
    const plan: NodePlan = {
      predecessors: edges.map((edge) => edge.predecessor),
      operations: edges.map((edge) => operationIndex(edge.operation)),
      strides: edges.map((edge) => edge.stride),
      convolutions: [],
      norms: [],
      identities: edges.map((edge) => edge.operation === "skip_connect" && edge.stride === 1),
    };
    for (const edge of edges) {
      const chain = byEdge.get(edge.name) ?? [];
      const norms = chain.filter((layer) => layer.kind === "norm");
      plan.convolutions.push(...chain.filter((layer) => layer.kind === "convolution").map(weight));
      plan.norms.push(...(norms.length === 0 ? noNorm : norms.flatMap(norm)));
    }
    return plan;
  };
  const planPreprocess = (cell: number, number: 0 | 1): PreprocessPlan => {
    const chain = byCell
      .get(cell)!
      .filter(({ name }) => name.startsWith(`cells.${cell}.preprocess${number}.`));
    return {
      convolutions: chain.filter((layer) => layer.kind === "convolution").map(weight),
      norm: norm(chain.find((layer) => layer.kind === "norm")),
    };
  };
  const part = (name: Layer["part"]): Layer[] => layers.filter((layer) => layer.part === name);
  return {
    layout,
    stem: convolutionsWithNorms(part("stem")),
    cells: layout.cells.map((cell) => ({
      layout: cell,
      preprocess: [planPreprocess(cell.index, 0), planPreprocess(cell.index, 1)],
      nodes: Array.from({ length: intermediateNodeCount }, (_, node) => planNode(cell, node)),
    })),
    auxiliary:
      layout.auxiliary === null
        ? null
        : { convolutions: convolutionsWithNorms(part("auxiliary")), classifier: linear(part("auxiliary")) },
    classifier: linear(part("classifier")),
    trainable,
    norms: layers.filter((layer) => layer.kind === "norm").map(({ name }) => name),
  };
}
