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
function operator<Arguments extends unknown[], Result>(
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

type MaybeTensor = Tensor | null;
/** gamma, beta, running mean, running variance; see native/ops/operators.h. */
export type NormTensors = [MaybeTensor, MaybeTensor, MaybeTensor, MaybeTensor];

export const operators = {
  add: operator<[Tensor, Tensor], Tensor>("aten::add", "Tensor"),
  multiply: operator<[Tensor, Tensor], Tensor>("aten::mul", "Tensor"),
  scale: operator<[Tensor, number], Tensor>("aten::mul", "Scalar"),
  matmul: operator<[Tensor, Tensor], Tensor>("aten::matmul"),
  relu: operator<[Tensor], Tensor>("aten::relu"),
  sum: operator<[Tensor], Tensor>("aten::sum"),
  softmax: operator<[Tensor, number], Tensor>("aten::softmax", "int"),
  reshape: operator<[Tensor, number[]], Tensor>("aten::reshape"),
  concatenate: operator<[Tensor[], number], Tensor>("aten::cat"),
  to: operator<[Tensor, number], Tensor>("aten::to", "dtype"),
  toDevice: operator<[Tensor, null, null, string], Tensor>("aten::to", "dtype_layout"),
  detach: operator<[Tensor], Tensor>("aten::detach"),
  clone: operator<[Tensor], Tensor>("aten::clone"),
  copyInto: operator<[Tensor, Tensor], Tensor>("aten::copy_"),
  /** In place: first argument += share * (second - first). */
  interpolate: operator<[Tensor, Tensor, number], Tensor>("aten::lerp_", "Scalar"),
  zerosLike: operator<[Tensor], Tensor>("aten::zeros_like"),
  fill: operator<[Tensor, number], Tensor>("aten::fill_", "Scalar"),
  /** Times 0, so that a sum of large numbers is not taken for an infinite one. To be called in a scope. */
  allFinite: (tensor: Tensor): boolean => operators.sum(operators.scale(tensor, 0)).item() === 0,
  averagePool: operator<[Tensor, number[], number[], number[], boolean, boolean], Tensor>("aten::avg_pool2d"),
  globalAveragePool: operator<[Tensor, number[], boolean], Tensor>("aten::mean", "dim"),
  convolution: operator<[Tensor, Tensor, null, number[], number[], number[], number], Tensor>("aten::conv2d"),
  linear: operator<[Tensor, Tensor, Tensor], Tensor>("aten::linear"),
  /** logits [N, K], labels [N] int64, class weights, reduction (1: mean, 2: sum), ignored label, label smoothing */
  crossEntropy: operator<[Tensor, Tensor, null, number, number, number], Tensor>("aten::cross_entropy_loss"),

  /** inputs, weights, operations, strides, convolutions, norms, masks, training, momentum, epsilon */
  node: operator<
    [
      Tensor[],
      MaybeTensor,
      number[],
      number[],
      Tensor[],
      MaybeTensor[],
      MaybeTensor[],
      boolean,
      number,
      number,
    ],
    Tensor
  >("ista::node"),
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
  /** Whether convolutions of nodes keep less and compute it again in the backward pass; the same bits either way. */
  setRecompute: operator<[boolean], void>("ista::set_recompute"),
  /** Clears the counters of our operators and switches them on. */
  profileStart: operator<[], void>("ista::profile_start"),
  /** Switches them off; JSON: an array of { name, calls, seconds, bytes, flops } or the like, see native/ops/profile.h. */
  profileReport: operator<[], string>("ista::profile_report"),
  /** parameters, gradients, momenta, learning rate, momentum, weight decay, greatest norm -> norm before clipping */
  sgdStep: operator<[Tensor[], Tensor[], Tensor[], number, number, number, number], number>("ista::sgd_step"),
};
