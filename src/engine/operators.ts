// The one typed table of the operators that this program uses: libtorch's (aten) and ours (ista, see native/ops).
import { addon, guarded } from "./addon.js";
import { Tensor } from "./tensor.js";

function toNative(value: unknown): unknown {
  if (value instanceof Tensor) return value.handle;
  if (Array.isArray(value)) return value.map((item) => (item instanceof Tensor ? item.handle : item));
  return value;
}

function fromNative(value: unknown, kind: "Tensor" | "Tensor[]" | "other"): unknown {
  if (kind === "Tensor") return typeof value === "number" ? new Tensor(value) : value;
  if (kind === "Tensor[]") return (value as number[]).map((handle) => new Tensor(handle));
  return value;
}

/**
 * A function that calls the operator through libtorch's dispatcher; it is looked up at the first call. Arguments come in
 * the order of the operator's schema; missing trailing ones take their defaults there.
 * @throws IstaError ENGINE_OPERATOR (the operator's own complaint, with operator and shapes), ENGINE_ARGUMENT, ENGINE_FREED
 */
export function operator<Arguments extends unknown[], Result>(
  name: string,
  overload = "",
): (...values: Arguments) => Result {
  let found: ReturnType<typeof addon.operator> | undefined;
  return (...values) =>
    guarded(() => {
      found ??= addon.operator(name, overload);
      const [identifier, ...kinds] = found;
      const result = addon.call(identifier, values.map(toNative));
      if (kinds.length <= 1) return fromNative(result, kinds[0] ?? "other") as Result;
      return (result as unknown[]).map((item, i) => fromNative(item, kinds[i])) as Result;
    });
}

export type MaybeTensor = Tensor | null;
/** gamma, beta, running mean, running variance; see native/ops/operators.h. */
export type NormTensors = [MaybeTensor, MaybeTensor, MaybeTensor, MaybeTensor];

/**
 * What a branch of `ista::node` computes (native/ops/pattern.h). Convolutions and norms that it takes:
 * - `identity`, `max-pool`, `average-pool`: none, one norm;
 * - `separable`: a depthwise and a 1x1 convolution and a norm per stage;
 * - `factorized-reduce`: two 1x1 convolutions, one norm;
 * - `dense`: one convolution, one norm.
 */
export type PatternKind =
  | "identity"
  | "max-pool"
  | "average-pool"
  | "separable"
  | "factorized-reduce"
  | "dense";
/** What is 1 where a kind has no such setting; the factorised reduction has kernel 1 and stride 2. */
export type PatternSettings = [kernel: number, dilation: number, stride: number, stages: number];

export const operators = {
  add: operator<[Tensor, Tensor], Tensor>("aten::add", "Tensor"),
  multiply: operator<[Tensor, Tensor], Tensor>("aten::mul", "Tensor"),
  scale: operator<[Tensor, number], Tensor>("aten::mul", "Scalar"),
  matmul: operator<[Tensor, Tensor], Tensor>("aten::matmul"),
  relu: operator<[Tensor], Tensor>("aten::relu"),
  sum: operator<[Tensor], Tensor>("aten::sum"),
  reshape: operator<[Tensor, number[]], Tensor>("aten::reshape"),
  concatenate: operator<[Tensor[], number], Tensor>("aten::cat"),
  toDevice: operator<[Tensor, null, null, string], Tensor>("aten::to", "dtype_layout"),
  detach: operator<[Tensor], Tensor>("aten::detach"),
  copyInto: operator<[Tensor, Tensor], Tensor>("aten::copy_"),
  /** In place: first argument += share * (second - first). */
  interpolate: operator<[Tensor, Tensor, number], Tensor>("aten::lerp_", "Scalar"),
  zerosLike: operator<[Tensor], Tensor>("aten::zeros_like"),
  /** Times 0, so that a sum of large numbers is not taken for an infinite one. To be called in a scope. */
  allFinite: (tensor: Tensor): boolean => operators.sum(operators.scale(tensor, 0)).item() === 0,
  pad: operator<[Tensor, number[], number], Tensor>("aten::constant_pad_nd"),
  /** axis, start, length */
  narrow: operator<[Tensor, number, number, number], Tensor>("aten::narrow"),
  transpose: operator<[Tensor, number, number], Tensor>("aten::transpose", "int"),
  /** axis, index */
  select: operator<[Tensor, number, number], Tensor>("aten::select", "int"),
  /** axis, indices int64 */
  indexSelect: operator<[Tensor, number, Tensor], Tensor>("aten::index_select"),
  maxPool: operator<[Tensor, number[], number[], number[]], Tensor>("aten::max_pool2d"),
  /** input, norm, training, momentum, epsilon; libtorch's own, or of a batch that processes share */
  batchNorm: operator<[Tensor, NormTensors, boolean, number, number], Tensor>("ista::batch_norm"),
  averagePool: operator<[Tensor, number[], number[], number[], boolean, boolean], Tensor>("aten::avg_pool2d"),
  globalAveragePool: operator<[Tensor, number[], boolean], Tensor>("aten::mean", "dim"),
  /** input, weight, bias, stride, padding, dilation, groups */
  convolution: operator<[Tensor, Tensor, null, number[], number[], number[], number], Tensor>("aten::conv2d"),
  linear: operator<[Tensor, Tensor, Tensor], Tensor>("aten::linear"),
  /** logits [N, K], labels [N] int64, class weights, reduction (1: mean, 2: sum), ignored label, label smoothing */
  crossEntropy: operator<[Tensor, Tensor, null, number, number, number], Tensor>("aten::cross_entropy_loss"),

  /**
   * The weighted, masked sum of branches. Per branch: an input, a weight (null: all 1), a kind, four settings (PatternSettings, one
   * branch after the other), its convolutions, its norms (NormTensors, four nulls for none), and a mask [N] or null. With `recompute`
   * convolutions keep less and compute it again in the backward pass; the same bits either way.
   */
  node: operator<
    [
      inputs: Tensor[],
      weights: MaybeTensor,
      kinds: PatternKind[],
      settings: number[],
      convolutions: Tensor[],
      norms: MaybeTensor[],
      masks: MaybeTensor[],
      recompute: boolean,
      training: boolean,
      momentum: number,
      epsilon: number,
    ],
    Tensor
  >("ista::node"),
  /** Whether a branch has a fused kernel; a node in which one has none is computed as a composition of libtorch's operators. */
  nodeAccepts: operator<[PatternKind, ...PatternSettings], boolean>("ista::node_accepts"),
  /** inputs, weight, norm, training, momentum, epsilon */
  reluConvNorm: operator<[Tensor[], Tensor, NormTensors, boolean, number, number], Tensor>(
    "ista::relu_conv_norm",
  ),
  /** inputs, conv_1, conv_2, norm, training, momentum, epsilon */
  factorizedReduce: operator<[Tensor[], Tensor, Tensor, NormTensors, boolean, number, number], Tensor>(
    "ista::factorized_reduce",
  ),
  /** input, weight, norm, stride, padding, ReLU before, training, momentum, epsilon */
  convNorm: operator<[Tensor, Tensor, NormTensors, number, number, boolean, boolean, number, number], Tensor>(
    "ista::conv_norm",
  ),
  /** Clears the counters of our operators and switches them on, for the calls of this JavaScript thread. */
  profileStart: operator<[], void>("ista::profile_start"),
  /** Switches them off; JSON: an array of { name, calls, seconds, bytes, flops } or the like, see native/ops/profile.h. */
  profileReport: operator<[], string>("ista::profile_report"),
  /** The vector code that our kernels use: avx512, avx2 or baseline. */
  vectorCode: operator<[], string>("ista::vector_code"),
  /** The names of all that this processor has, the widest first. */
  vectorCodes: operator<[], string[]>("ista::vector_codes"),
  /** Sets the C library's allocator for the whole process; see tuneAllocator in device.ts. */
  tuneAllocator: operator<[], void>("ista::tune_allocator"),
  /** parameters, gradients, momenta, learning rate, momentum, weight decay, greatest norm -> norm before clipping */
  sgdStep: operator<[Tensor[], Tensor[], Tensor[], number, number, number, number, boolean?], number>(
    "ista::sgd_step",
  ),
};
