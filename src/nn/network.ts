// A network of any space: super-net or evaluation network, one class for both, since they differ in their description only.
import type { RandomStream } from "../base/random.js";
import { Device } from "../engine/device.js";
import { operators } from "../engine/operators.js";
import { scope, Tensor } from "../engine/tensor.js";
import type { NetworkDescription, Selection } from "../space/space.js";
import { tensorList } from "../space/tensors.js";
import { type Features, joined, type LayerContext, runLayer } from "./layers.js";
import { type BranchPattern, type BranchWeights, patternName } from "./patterns.js";
import { type AffineRule, type NetworkPlan, type PlannedStep, planNetwork } from "./plan.js";
import { checkStateDict, type StateDict, TensorStore, withoutAuxiliaryHead } from "./tensor-store.js";

/** Batch norm as in the paper's programs. */
export const usualMomentum = 0.1;
const epsilon = 1e-5;

export interface ForwardOptions {
  /** Batch statistics, running statistics updated, auxiliary head and drop-path on. */
  readonly training: boolean;
  /** Vectors of weights by name (see space/mixture.ts), float32; what has none counts with 1. */
  readonly weights?: ReadonlyMap<string, Tensor>;
  readonly dropPath?: {
    readonly probability: number;
    readonly random: RandomStream;
    /** The images are some in the middle of a batch of so many, and what is dropped is drawn for all of it. */
    readonly partOf?: { readonly first: number; readonly images: number };
  };
  /** Share of a batch in the running statistics; 0.1 where not given. */
  readonly momentum?: number;
  /** Told every intermediate result with the name of what made it, in order. */
  readonly inspect?: (name: string, result: Tensor) => void;
}

export interface Outputs {
  /** [N, classes] */
  readonly logits: Tensor;
  /** [N, classes]; null without auxiliary head and in evaluation mode. */
  readonly auxiliaryLogits: Tensor | null;
}

export interface NetworkOptions {
  /** Of the initial weights. */
  readonly seed: number;
  readonly device?: Device;
  readonly trainsAffine?: AffineRule;
  /** Keep less of the forward pass and compute it again in the backward pass (on a CPU); the same bits either way. */
  readonly recompute?: boolean;
}

export class Network {
  private readonly store: TensorStore;
  private readonly recompute: boolean;
  private trainsAffine: AffineRule | undefined;
  private held: NetworkDescription;
  private plan: NetworkPlan;

  /** @throws IstaError NETWORK_SHAPE when no network can have the shape */
  constructor(description: NetworkDescription, options: NetworkOptions) {
    this.store = new TensorStore(options.seed, options.device ?? Device.cpu);
    this.recompute = options.recompute ?? false;
    this.held = description;
    this.trainsAffine = options.trainsAffine;
    this.plan = this.planned();
  }

  private planned(): NetworkPlan {
    return planNetwork(this.held.space.graph(this.held), this.store, this.trainsAffine);
  }

  get description(): NetworkDescription {
    return this.held;
  }

  get device(): Device {
    return this.store.device;
  }

  /** Size of the images that the network takes. */
  get inputSize(): { channels: number; height: number; width: number } {
    return this.plan.graph.layers[0].output;
  }

  /** Patterns of the present network that have no fused kernel: they run as compositions, slower. */
  get compositions(): string[] {
    const branches = this.plan.steps.flatMap((step) => (step.kind === "node" ? step.branches : []));
    const names = branches.filter((branch) => !hasKernel(branch)).map(patternName);
    return [...new Set(names)];
  }

  /**
   * Changes which candidates a super-net has. Tensors of candidates that leave are kept for their return; the rule stays where none
   * is given.
   */
  connect(selection: Selection, trainsAffine = this.trainsAffine): void {
    this.held = { ...this.held, selection };
    this.trainsAffine = trainsAffine;
    this.plan = this.planned();
  }

  /** Frees the tensors that no network with candidates within these has; gives the bytes that were freed. */
  forgetAllBut(selection: Selection): number {
    const before = this.store.bytes;
    this.store.retain(new Set(tensorList({ ...this.held, selection }).map(({ name }) => name)));
    return before - this.store.bytes;
  }

  /** Parameters that training changes, by state-dict name, for the present candidates. */
  get trainable(): ReadonlyMap<string, Tensor> {
    return this.plan.trainable;
  }

  /** Names of all float tensors made so far, those of candidates that are not connected now included. */
  get parameterNames(): Iterable<string> {
    return this.store.names;
  }

  /** Bytes of the parameters and buffers made so far. */
  get parameterBytes(): number {
    return this.store.bytes;
  }

  /** All tensors, those of candidates that are not connected now included, copied. */
  stateDict(): StateDict {
    return this.store.stateDict();
  }

  /**
   * Takes over values from outside: exactly the tensors of this network (an auxiliary head that it lacks is left out), and with
   * `candidates` also tensors of those that are not connected now, as far as there are some.
   * @throws IstaError WEIGHTS_MISMATCH listing all that is missing, unknown or misshapen
   */
  loadStateDict(stored: StateDict, candidates?: Selection): void {
    const expected = tensorList({ ...this.held, selection: candidates ?? this.held.selection });
    const used =
      this.held.shape.auxiliary || candidates !== undefined ? stored : withoutAuxiliaryHead(stored);
    const present = new Set(tensorList(this.held).map(({ name }) => name));
    checkStateDict(used, expected, (name) => !present.has(name));
    for (const [name, tensor] of used) this.store.set(name, tensor);
  }

  /** Moves all float tensors towards those of a network of the same description: a step of an exponential moving average. */
  approach(other: Network, share: number): void {
    this.store.approach(other.store, share);
  }

  /** The running statistics of batch norms, to be put back by `loadStatistics`. */
  saveStatistics(): StateDict {
    return new Map(
      [...this.store.stateDict()].filter(([name]) =>
        /\.(running_mean|running_var|num_batches_tracked)$/.test(name),
      ),
    );
  }

  /** The running means and variances that a training batch changes, of the present candidates, in the same order for the same network. */
  get runningStatistics(): Tensor[] {
    return this.plan.norms.flatMap((norm) => this.store.statisticsOf(norm));
  }

  loadStatistics(statistics: StateDict): void {
    for (const [name, tensor] of statistics) this.store.set(name, tensor);
  }

  dispose(): void {
    this.store.dispose();
  }

  /**
   * @param images float32 [N, channels, height, width] on the network's device
   * @throws IstaError ENGINE_OPERATOR when they have another shape than the network is for
   */
  forward(images: Tensor, options: ForwardOptions): Outputs {
    const { graph, steps } = this.plan;
    const pass = new Pass(this.plan, this.recompute, this.device, images, options);
    for (const step of steps) if (options.training || step.part !== "auxiliary") pass.run(step);
    if (options.training) for (const norm of this.plan.norms) this.store.countBatch(norm);
    const [logits] = pass.result(graph.logits);
    const auxiliary =
      options.training && graph.auxiliaryLogits !== null ? pass.result(graph.auxiliaryLogits)[0] : null;
    return { logits, auxiliaryLogits: auxiliary };
  }
}

/** Whether a fused kernel computes the pattern on a CPU. */
export function hasKernel({ kind, kernel, dilation, stride, stages }: BranchPattern): boolean {
  return operators.nodeAccepts(kind, kernel, dilation, stride, stages);
}

type Settings = readonly [training: boolean, momentum: number, epsilon: number];

/** One forward pass: the results that something still reads. */
class Pass {
  private readonly results = new Map<number, Features>();
  private readonly settings: Settings;
  private readonly context: LayerContext;

  constructor(
    private readonly plan: NetworkPlan,
    private readonly recompute: boolean,
    private readonly device: Device,
    private readonly images: Tensor,
    private readonly options: ForwardOptions,
  ) {
    const { training, momentum = usualMomentum, weights } = options;
    this.results.set(0, [images]);
    this.settings = [training, momentum, epsilon];
    this.context = {
      plan,
      training,
      momentum,
      epsilon,
      vector: (name) => weights?.get(name) ?? null,
      mask: () => {
        const mask = this.dropPathMask();
        return mask === null ? null : operators.reshape(mask, [-1, 1, 1, 1]);
      },
    };
  }

  result(value: number): Features {
    return this.results.get(value)!;
  }

  run(step: PlannedStep): void {
    const made = scope(() => [...this.compute(step)]);
    this.results.set(step.value, made);
    const { inspect } = this.options;
    // A concatenation is not made; its parts were seen.
    if (inspect !== undefined && made.length === 1) inspect(step.name, made[0]);
    for (const value of step.finished) this.release(value);
  }

  /** Nothing else reads the value; what the gradients need, libtorch keeps. Parts of concatenations belong to those, too. */
  private release(value: number): void {
    const tensors = this.result(value);
    this.results.delete(value);
    const held = new Set([...this.results.values()].flat());
    for (const tensor of tensors) if (!held.has(tensor)) tensor.dispose();
  }

  private compute(step: PlannedStep): Features {
    switch (step.kind) {
      case "node":
        return [this.node(step)];
      case "factorized-reduce": {
        const [first, second] = step.convolutions.map(this.plan.convolution);
        const inputs = [...this.result(step.input)];
        return [
          operators.factorizedReduce(inputs, first, second, this.plan.norm(step.norm), ...this.settings),
        ];
      }
      case "dense": {
        const { convolution, rectified } = step;
        const { kernel, stride, padding } = convolution;
        const weight = this.plan.convolution(convolution);
        const norm = this.plan.norm(step.norm);
        const inputs = this.result(step.input);
        if (rectified && kernel === 1 && stride === 1 && padding === 0)
          return [operators.reluConvNorm([...inputs], weight, norm, ...this.settings)];
        return [
          operators.convNorm(joined(inputs), weight, norm, stride, padding, rectified, ...this.settings),
        ];
      }
      case "layer": {
        const inputs = step.layer.inputs.map((value) => this.result(value));
        return runLayer(step.layer, inputs, this.context);
      }
    }
  }

  private node(step: PlannedStep & { kind: "node" }): Tensor {
    const { inputs, kinds, settings, convolutions, norms, dropped } = step.node!;
    const masks = dropped.map((drops) => (drops ? this.dropPathMask() : null));
    return operators.node(
      inputs.map((value) => joined(this.result(value))),
      this.branchWeights(step.weights),
      kinds,
      settings,
      convolutions,
      norms,
      masks,
      this.recompute,
      ...this.settings,
    );
  }

  /** [branches], or null where every branch counts with 1. */
  private branchWeights(weights: BranchWeights | null): Tensor | null {
    const vector = weights === null ? null : this.context.vector(weights.vector);
    if (weights === null || vector === null) return null;
    const { indices } = weights;
    const whole =
      indices.length === vector.shape[0] && indices.every((index, position) => index === position);
    if (whole) return vector;
    return operators.indexSelect(vector, 0, Tensor.from(BigInt64Array.from(indices, BigInt)));
  }

  /** [N]: 0 with the probability, else 1 / (1 - probability) (Larsson et al. 2017); null where nothing is dropped. */
  private dropPathMask(): Tensor | null {
    const { training, dropPath } = this.options;
    if (!training || dropPath === undefined || dropPath.probability <= 0) return null;
    const [count] = this.images.shape;
    const { probability, random, partOf: { first, images } = { first: 0, images: count } } = dropPath;
    const kept = 1 / (1 - probability);
    const mask = Float32Array.from({ length: images }, () => (random.uniform() < probability ? 0 : kept));
    return this.device.move(Tensor.from(mask.slice(first, first + count)));
  }
}
