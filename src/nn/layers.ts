// Layers that no fused operator takes, one by one with libtorch's own.
import { operators } from "../engine/operators.js";
import type { Tensor } from "../engine/tensor.js";
import type { Layer } from "../space/graph.js";
import type { NetworkPlan } from "./plan.js";

export interface LayerContext {
  readonly plan: NetworkPlan;
  readonly training: boolean;
  readonly momentum: number;
  readonly epsilon: number;
  /** The vector of this name; null where the forward pass was given none. */
  readonly vector: (name: string) => Tensor | null;
  /** [N, 1, 1, 1] of a branch that drop-path may drop; null where none is dropped. */
  readonly mask: () => Tensor | null;
}

/** Tensors whose concatenation over channels is meant. */
export type Features = readonly Tensor[];

export const joined = (features: Features): Tensor =>
  features.length === 1 ? features[0] : operators.concatenate([...features], 1);

/** One pixel up and left; an odd side is filled up with zeros, so that both halves of a reduction have the same size. */
function shifted(input: Tensor): Tensor {
  const [, , height, width] = input.shape;
  const padded = operators.pad(input, [0, width % 2, 0, height % 2], 0);
  const rows = operators.narrow(padded, 2, 1, height - 1 + (height % 2));
  return operators.narrow(rows, 3, 1, width - 1 + (width % 2));
}

/** Channels of `groups` groups, taken in turn from each (Zhang et al. 2018, ShuffleNet). */
function shuffled(input: Tensor, groups: number): Tensor {
  const [batch, channels, height, width] = input.shape;
  const grouped = operators.reshape(input, [batch, groups, channels / groups, height, width]);
  return operators.reshape(operators.transpose(grouped, 1, 2), [batch, channels, height, width]);
}

/** The result of a layer. @param inputs those of its inputs, in order */
export function runLayer(layer: Layer, inputs: readonly Features[], context: LayerContext): Features {
  const { plan, training, momentum, epsilon } = context;
  if (layer.kind === "concatenate") return inputs.flat();
  if (layer.kind === "global-pool")
    return inputs[0].map((tensor) => operators.globalAveragePool(tensor, [2, 3], false));
  const input = joined(inputs[0]);
  switch (layer.kind) {
    case "relu":
      return [operators.relu(input)];
    case "shift":
      return [shifted(input)];
    case "zeros":
      return [operators.zerosLike(input)];
    case "shuffle":
      return [shuffled(input, layer.groups)];
    case "slice":
      return [operators.narrow(input, 1, layer.from, layer.to - layer.from)];
    case "scale": {
      const vector = context.vector(layer.vector);
      return [vector === null ? input : operators.multiply(input, operators.select(vector, 0, layer.index))];
    }
    case "drop-path": {
      const mask = context.mask();
      return [mask === null ? input : operators.multiply(input, mask)];
    }
    case "pool": {
      const { pooling, kernel, stride, padding } = layer;
      const window: [number[], number[], number[]] = [[...kernel], [...stride], [padding, padding]];
      return [
        pooling === "max"
          ? operators.maxPool(input, ...window)
          : operators.averagePool(input, ...window, false, false),
      ];
    }
    case "convolution": {
      const { stride, padding, dilation, groups } = layer;
      const pair = (value: number): number[] => [value, value];
      const weight = plan.convolution(layer);
      return [
        operators.convolution(input, weight, null, pair(stride), pair(padding), pair(dilation), groups),
      ];
    }
    case "norm":
      return [operators.batchNorm(input, plan.norm(layer), training, momentum, epsilon)];
    case "linear": {
      const { weight, bias } = plan.linear(layer);
      const flat = input.shape.length === 2 ? input : operators.reshape(input, [input.shape[0], -1]);
      return [operators.linear(flat, weight, bias)];
    }
    default:
      throw new TypeError(`layer ${layer.kind}: nothing computes it`);
  }
}
