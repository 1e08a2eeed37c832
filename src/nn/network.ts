// A network of the space: super-net or evaluation network, one class for both, since they differ in their description only.
import type { RandomStream } from "../base/random.js";
import { operators } from "../engine/operators.js";
import { scope, Tensor } from "../engine/tensor.js";
import type { CellType } from "../space/darts.js";
import type { NetworkDescription, NetworkLayout } from "../space/layout.js";
import { parameterList } from "../space/parameters.js";
import { checkStateDict, ParameterStore, type StateDict, withoutAuxiliaryHead } from "./parameters.js";
import {
  type AffineRule,
  type CellPlan,
  type NetworkPlan,
  type NodePlan,
  type PreprocessPlan,
  planNetwork,
} from "./plan.js";

/** Batch norm as in the paper's programs. */
const momentum = 0.1;
const epsilon = 1e-5;

/** Tensors whose concatenation over channels is meant; it is never made. */
type Features = readonly Tensor[];

export interface ForwardOptions {
  /** Batch statistics, running statistics updated, auxiliary head and drop-path on. */
  readonly training: boolean;
  /** w_S per intermediate node: float32 [s]; absent in evaluation networks, where every weight is 1. */
  readonly nodeWeights?: Readonly<Record<CellType, readonly Tensor[]>>;
  readonly dropPath?: { readonly probability: number; readonly random: RandomStream };
  /** Told every intermediate result with the name of what made it, in order. */
  readonly inspect?: (name: string, result: Tensor) => void;
}

export interface Outputs {
  /** [N, classes] */
  readonly logits: Tensor;
  /** [N, classes]; null without auxiliary head and in evaluation mode. */
  readonly auxiliaryLogits: Tensor | null;
}

export class Network {
  private readonly store: ParameterStore;
  private description: NetworkDescription;
  private plan: NetworkPlan;

  /**
   * @param seed of the initial weights
   * @throws IstaError NETWORK_SHAPE when no network can have the shape
   */
  constructor(
    description: NetworkDescription,
    options: { seed: number; device?: string; trainsAffine?: AffineRule },
  ) {
    this.store = new ParameterStore(options.seed, options.device ?? "cpu");
    this.description = description;
    this.plan = planNetwork(description, this.store, options.trainsAffine);
  }

  get layout(): NetworkLayout {
    return this.plan.layout;
  }

  get device(): string {
    return this.store.device;
  }

  /** Size of the images that the network takes. */
  get inputSize(): { channels: number; height: number; width: number } {
    const { inputChannels, imageHeight, imageWidth } = this.description.shape;
    return { channels: inputChannels, height: imageHeight, width: imageWidth };
  }

  /** Changes which connections a super-net has. Tensors of operations that leave are kept for their return. */
  connect(connections: NetworkDescription["connections"], trainsAffine?: AffineRule): void {
    this.description = { ...this.description, connections };
    this.plan = planNetwork(this.description, this.store, trainsAffine);
  }

  /** Frees the tensors that no network with connections within these has; gives the bytes that were freed. */
  forgetAllBut(connections: NetworkDescription["connections"]): number {
    const before = this.store.bytes;
    this.store.retain(new Set(parameterList({ ...this.description, connections }).map(({ name }) => name)));
    return before - this.store.bytes;
  }

  /** Parameters that training changes, by state-dict name, for the present connections. */
  get trainable(): ReadonlyMap<string, Tensor> {
    return this.plan.trainable;
  }

  /** Names of all float tensors made so far, those of operations that are not connected now included. */
  get parameterNames(): Iterable<string> {
    return this.store.names;
  }

  /** Bytes of the parameters and buffers made so far. */
  get parameterBytes(): number {
    return this.store.bytes;
  }

  /** All tensors, those of operations that are not connected now included, copied. */
  stateDict(): StateDict {
    return this.store.stateDict();
  }

  /**
   * Takes over values from outside. With `candidates`, any tensor of those connections may come, and any may be absent;
   * otherwise the file must have exactly the tensors of this network (an auxiliary head that this network lacks is left out).
   * @throws IstaError WEIGHTS_MISMATCH listing all that is missing, unknown or misshapen
   */
  loadStateDict(stored: StateDict, candidates?: NetworkDescription["connections"]): void {
    const expected = parameterList({
      ...this.description,
      connections: candidates ?? this.description.connections,
    });
    const used =
      this.description.shape.auxiliary || candidates !== undefined ? stored : withoutAuxiliaryHead(stored);
    checkStateDict(used, expected, () => candidates !== undefined);
    for (const [name, tensor] of used) this.store.set(name, tensor);
  }

  /** Moves all float tensors towards those of a network of the same description: a step of an exponential moving average. */
  approach(other: Network, share: number): void {
    this.store.approach(other.store, share);
  }

  dispose(): void {
    this.store.dispose();
  }

  /**
   * @param images float32 [N, channels, height, width] on the network's device
   * @throws IstaError ENGINE_OPERATOR when they have another shape than the network is for
   */
  forward(images: Tensor, options: ForwardOptions): Outputs {
    const settings = [options.training, momentum, epsilon] as const;
    const batch = images.shape[0];
    const inspect = options.inspect ?? (() => {});
    let [older, newer] = this.stem(images, settings);
    for (const tensor of newer) inspect("stem", tensor);
    let auxiliaryLogits: Tensor | null = null;
    for (const cell of this.plan.cells) {
      const read = older;
      const made = scope(() => this.cell(cell, older, newer, batch, options, settings));
      older = newer;
      newer = made;
      // Nothing else reads them; what the gradients need, libtorch keeps.
      for (const tensor of read) if (!older.includes(tensor)) tensor.dispose();
      if (options.training && cell.layout.index === this.layout.auxiliary?.afterCell) {
        auxiliaryLogits = this.auxiliary(newer, settings);
        inspect("auxiliary_head", auxiliaryLogits);
      }
    }
    if (options.training) for (const norm of this.plan.norms) this.store.countBatch(norm);
    const pooled = newer.map((tensor) => operators.globalAveragePool(tensor, [2, 3], false));
    const { weight, bias } = this.plan.classifier;
    const logits = operators.linear(operators.concatenate(pooled, 1), weight, bias);
    inspect("classifier", logits);
    return { logits, auxiliaryLogits };
  }

  /** The cell's intermediate nodes. */
  private cell(
    plan: CellPlan,
    older: Features,
    newer: Features,
    batch: number,
    options: ForwardOptions,
    settings: Settings,
  ): Tensor[] {
    const inspect = options.inspect ?? (() => {});
    const states = [
      preprocess(plan.preprocess[0], older, plan.layout.reductionPrevious, settings),
      preprocess(plan.preprocess[1], newer, false, settings),
    ];
    const name = `cells.${plan.layout.index}`;
    for (const [index, state] of states.entries()) inspect(`${name}.preprocess${index}`, state);
    for (const [index, node] of plan.nodes.entries()) {
      const weights = options.nodeWeights?.[plan.layout.type][index] ?? null;
      states.push(this.node(node, states, weights, batch, options, settings));
      inspect(`${name}, node ${index + 2}`, states[index + 2]);
    }
    return states.slice(2);
  }

  private stem(images: Tensor, settings: Settings): [Features, Features] {
    const [first, second, third] = this.plan.stem;
    if (this.description.shape.stem === "cifar") {
      const features = operators.convNorm(images, first.weight, first.norm, 1, 1, false, ...settings);
      return [[features], [features]];
    }
    const half = operators.convNorm(images, first.weight, first.norm, 2, 1, false, ...settings);
    const quarter = operators.convNorm(half, second.weight, second.norm, 2, 1, true, ...settings);
    const eighth = operators.convNorm(quarter, third.weight, third.norm, 2, 1, true, ...settings);
    return [[quarter], [eighth]];
  }

  private node(
    plan: NodePlan,
    states: readonly Tensor[],
    weights: Tensor | null,
    batch: number,
    { training, dropPath }: ForwardOptions,
    settings: Settings,
  ): Tensor {
    const drops = training && dropPath !== undefined && dropPath.probability > 0;
    const masks = plan.identities.map((identity) =>
      drops && !identity ? this.dropPathMask(batch, dropPath.probability, dropPath.random) : null,
    );
    return operators.node(
      plan.predecessors.map((predecessor) => states[predecessor]),
      weights,
      plan.operations,
      plan.strides,
      plan.convolutions,
      plan.norms,
      masks,
      ...settings,
    );
  }

  /** [N]: 0 with the probability, else 1 / (1 - probability) (Larsson et al. 2017). */
  private dropPathMask(batch: number, probability: number, random: RandomStream): Tensor {
    const kept = 1 / (1 - probability);
    const mask = Tensor.from(
      Float32Array.from({ length: batch }, () => (random.uniform() < probability ? 0 : kept)),
    );
    return this.device === "cpu" ? mask : operators.toDevice(mask, null, null, this.device);
  }

  /** ReLU, average pooling to 2 x 2, 1x1 convolution, batch norm, ReLU, 2x2 convolution, batch norm, ReLU, linear. */
  private auxiliary(features: Features, settings: Settings): Tensor {
    const { convolutions, classifier } = this.plan.auxiliary!;
    const { poolKernel, poolStride } = this.layout.auxiliary!;
    const rectified = operators.relu(operators.concatenate([...features], 1));
    const pooled = operators.averagePool(rectified, [...poolKernel], [...poolStride], [0, 0], false, false);
    const [first, second] = convolutions;
    const hidden = operators.convNorm(pooled, first.weight, first.norm, 1, 0, false, ...settings);
    const last = operators.convNorm(hidden, second.weight, second.norm, 1, 0, true, ...settings);
    const flat = operators.reshape(operators.relu(last), [last.shape[0], -1]);
    return operators.linear(flat, classifier.weight, classifier.bias);
  }
}

type Settings = readonly [training: boolean, momentum: number, epsilon: number];

function preprocess(plan: PreprocessPlan, inputs: Features, reduced: boolean, settings: Settings): Tensor {
  const [first, second] = plan.convolutions;
  return reduced
    ? operators.factorizedReduce([...inputs], first, second, plan.norm, ...settings)
    : operators.reluConvNorm([...inputs], first, plan.norm, ...settings);
}
