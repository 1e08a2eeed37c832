// The tensors of a network by state-dict name: made when first needed, kept when their operation leaves the network.
import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { withoutGradients } from "../engine/autograd.js";
import type { Device } from "../engine/device.js";
import { operators } from "../engine/operators.js";
import { scope, Tensor } from "../engine/tensor.js";
import type { LayerWithWeights } from "../space/graph.js";
import { isTrainable, layerTensors, type TensorEntry } from "../space/tensors.js";

/** Values of a tensor outside of the engine, as files hold them; counters of batches are int64 scalars. */
export interface StoredTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array | BigInt64Array;
}

export type StateDict = Map<string, StoredTensor>;

const elementCount = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

function fanIn(layer: LayerWithWeights): number {
  if (layer.kind === "linear") return layer.inputFeatures;
  return layer.kind === "convolution" ? (layer.inputChannels / layer.groups) * layer.kernel ** 2 : 1;
}

/** What a tensor begins with: PyTorch's defaults for convolutions, linear layers and batch norms. */
function initialValues(entry: TensorEntry, layer: LayerWithWeights, seed: number): Float32Array {
  const values = new Float32Array(elementCount(entry.shape));
  if (entry.kind === "gamma" || entry.kind === "running_var") return values.fill(1);
  if (entry.kind !== "weight" && entry.kind !== "bias") return values;
  // Uniform within 1 / sqrt(fan in) (He et al. 2015 with PyTorch's a = sqrt(5)). The stream is named after the tensor, so
  // that its values depend neither on the order in which operations enter a network nor on which others do.
  const random = RandomStream.named(seed, `weights/${entry.name}`);
  const bound = 1 / Math.sqrt(fanIn(layer));
  return values.map(() => (2 * random.uniform() - 1) * bound);
}

/** Float tensors live on one device outside of all scopes; counters of batches are plain numbers. */
export class TensorStore {
  private readonly tensors = new Map<string, Tensor>();
  private readonly batchCounts = new Map<string, number>();

  constructor(
    private readonly seed: number,
    readonly device: Device,
  ) {}

  /** The tensors of a layer by the last part of their names ("weight", "running_mean" ...); new ones get initial values. */
  layer(layer: LayerWithWeights): Record<string, Tensor> {
    const found: Record<string, Tensor> = {};
    for (const entry of layerTensors(layer)) {
      if (entry.kind === "num_batches_tracked") continue;
      const tensor =
        this.tensors.get(entry.name) ??
        this.create(entry.name, initialValues(entry, layer, this.seed), entry.shape);
      found[entry.name.slice(layer.name.length + 1)] = tensor.setRequiresGrad(isTrainable(entry.kind));
    }
    return found;
  }

  /** One more batch went through the batch norm of this name, in training mode. */
  countBatch(norm: string): void {
    this.batchCounts.set(norm, (this.batchCounts.get(norm) ?? 0) + 1);
  }

  /** Running mean and variance of the batch norm of this name. */
  statisticsOf(norm: string): Tensor[] {
    return ["running_mean", "running_var"].map((kind) => this.tensors.get(`${norm}.${kind}`)!);
  }

  private create(name: string, values: Float32Array, shape: readonly number[]): Tensor {
    const onCpu = Tensor.from(values, shape);
    const tensor = this.device.move(onCpu);
    if (tensor !== onCpu) onCpu.dispose();
    this.tensors.set(name, tensor.keep());
    return tensor;
  }

  /** Puts values from outside in place. The caller has checked names and shapes. */
  set(name: string, stored: StoredTensor): void {
    if (stored.data instanceof BigInt64Array) {
      this.batchCounts.set(name.replace(/\.num_batches_tracked$/, ""), Number(stored.data[0]));
      return;
    }
    const held = this.tensors.get(name);
    if (held === undefined) {
      this.create(name, stored.data, stored.shape);
      return;
    }
    const { data, shape } = stored;
    scope(() => void operators.copyInto(operators.detach(held), Tensor.from(data, shape)));
  }

  /** Frees the tensors whose layers no network can come back to; gives their number. */
  retain(names: ReadonlySet<string>): number {
    let freed = 0;
    for (const [name, tensor] of this.tensors) {
      if (names.has(name)) continue;
      tensor.dispose();
      this.tensors.delete(name);
      this.batchCounts.delete(name.replace(/\.running_var$/, ""));
      freed += 1;
    }
    return freed;
  }

  get names(): Iterable<string> {
    return this.tensors.keys();
  }

  /** Bytes of all tensors that were made. */
  get bytes(): number {
    let bytes = 0;
    for (const tensor of this.tensors.values()) bytes += 4 * tensor.elementCount;
    return bytes;
  }

  /** Moves every float tensor towards that of another store by a share of the difference (0..1). */
  approach(other: TensorStore, share: number): void {
    withoutGradients(() =>
      scope(() => {
        for (const [name, tensor] of this.tensors)
          operators.interpolate(tensor, other.tensors.get(name)!, share);
      }),
    );
    for (const [norm, count] of other.batchCounts) this.batchCounts.set(norm, count);
  }

  /** Every tensor that was made, copied, sorted by name. */
  stateDict(): StateDict {
    const all: [string, StoredTensor][] = [];
    for (const [name, tensor] of this.tensors) {
      all.push([name, { shape: tensor.shape, data: tensor.toFloat32Array() }]);
      if (!name.endsWith(".running_var")) continue;
      const norm = name.slice(0, -".running_var".length);
      const count = BigInt(this.batchCounts.get(norm) ?? 0);
      all.push([`${norm}.num_batches_tracked`, { shape: [], data: BigInt64Array.of(count) }]);
    }
    return new Map(all.sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  dispose(): void {
    for (const tensor of this.tensors.values()) tensor.dispose();
    this.tensors.clear();
  }
}

/** Weights for a network without auxiliary head. */
export const withoutAuxiliaryHead = (stored: StateDict): StateDict =>
  new Map([...stored].filter(([name]) => !name.startsWith("auxiliary_head.")));

/**
 * Compares a state dict from outside with the tensors that a network has.
 * @param optional whether a tensor may be absent (counters of batches are always optional)
 * @throws IstaError WEIGHTS_MISMATCH that lists every missing, unknown and misshapen tensor (the first 20 of each)
 */
export function checkStateDict(
  stored: StateDict,
  expected: readonly TensorEntry[],
  optional: (name: string) => boolean = () => false,
): void {
  const shapes = new Map(expected.map((entry) => [entry.name, entry.shape]));
  const missing = expected
    .filter(({ name, kind }) => !stored.has(name) && kind !== "num_batches_tracked" && !optional(name))
    .map(({ name }) => name);
  const unknown: string[] = [];
  const misshapen: string[] = [];
  for (const [name, tensor] of stored) {
    const shape = shapes.get(name);
    if (shape === undefined) unknown.push(name);
    else if (`${shape}` !== `${tensor.shape}`)
      misshapen.push(`${name} [${tensor.shape}] instead of [${shape}]`);
    else if (tensor.data instanceof BigInt64Array !== name.endsWith(".num_batches_tracked")) {
      misshapen.push(`${name} of the wrong number format`);
    }
  }
  const list = (what: string, names: string[]): string[] =>
    names.length === 0
      ? []
      : [`${names.length} ${what}: ${names.slice(0, 20).join(", ")}${names.length > 20 ? ", ..." : ""}`];
  const problems = [
    ...list("missing", missing),
    ...list("unknown", unknown),
    ...list("misshapen", misshapen),
  ];
  if (problems.length > 0) {
    // DataParallel and torch.compile put a word before every name.
    const prefix = ["module.", "_orig_mod."].find(
      (word) => unknown.length > 0 && unknown.every((name) => shapes.has(name.replace(word, ""))),
    );
    const reason =
      prefix === undefined
        ? "were they made for another genotype, --cells, --channels or number of classes?"
        : `save the state dict of the network itself, without the prefix ${prefix} of a wrapped one`;
    throw new IstaError(
      "WEIGHTS_MISMATCH",
      `weights: the tensors do not fit the network: ${problems.join("; ")}; ${reason}`,
    );
  }
}
