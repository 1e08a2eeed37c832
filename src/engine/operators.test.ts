// The operators of the networks against PyTorch: every primitive, sums of them, blocks, losses.
import { describe, it } from "vitest";
import {
  checkOperator,
  type GoldenCase,
  goldenCases,
  type OperatorTensors,
} from "../../test/support/golden.js";
import { operationIndex, type Primitive } from "../space/darts.js";
import { type NormTensors, operators } from "./operators.js";
import { Tensor } from "./tensor.js";

const momentum = 0.1;
const epsilon = 1e-5;

const norm = (tensors: OperatorTensors, name: string): NormTensors => [
  tensors.maybe(`parameter.${name}.weight`),
  tensors.maybe(`parameter.${name}.bias`),
  tensors.maybe(`buffer.${name}.running_mean`),
  tensors.maybe(`buffer.${name}.running_var`),
];

const weight = (tensors: OperatorTensors, name: string): Tensor => tensors.of(`parameter.${name}.weight`);

/** State-dict names of an operation's convolutions and batch norms, in the order of `ista::node`. */
function layersOf(operation: Primitive, stride: number): { convolutions: string[]; norms: string[] } {
  if (operation.startsWith("sep_conv"))
    return { convolutions: ["op.1", "op.2", "op.5", "op.6"], norms: ["op.3", "op.7"] };
  if (operation.startsWith("dil_conv")) return { convolutions: ["op.1", "op.2"], norms: ["op.3"] };
  if (operation === "skip_connect" && stride === 2)
    return { convolutions: ["conv_1", "conv_2"], norms: ["bn"] };
  return { convolutions: [], norms: ["1"] };
}

interface Branch {
  readonly input: Tensor;
  readonly operation: Primitive;
  readonly stride: number;
  readonly mask: Tensor | null;
  /** Prefix of its tensors' names. */
  readonly prefix: string;
}

function node(
  tensors: OperatorTensors,
  branches: readonly Branch[],
  weights: Tensor | null,
  training: boolean,
): Tensor {
  const layers = branches.map(({ operation, stride }) => layersOf(operation, stride));
  return operators.node(
    branches.map(({ input }) => input),
    weights,
    branches.map(({ operation }) => operationIndex(operation)),
    branches.map(({ stride }) => stride),
    layers.flatMap(({ convolutions }, k) =>
      convolutions.map((name) => weight(tensors, branches[k].prefix + name)),
    ),
    layers.flatMap(({ norms }, k) => norms.flatMap((name) => norm(tensors, branches[k].prefix + name))),
    branches.map(({ mask }) => mask),
    training,
    momentum,
    epsilon,
  );
}

const line = <Fields>(family: string): [string, GoldenCase<Fields>][] =>
  goldenCases<Fields>(family).map((golden) => [golden.name, golden]);

interface OperatorFields {
  readonly operation: Primitive;
  readonly stride: number;
  readonly training: boolean;
}

describe("ista::node with one operation is the operation", () => {
  it.each(line<OperatorFields>("operators"))("%s", (_, golden) => {
    const { operation, stride, training } = golden.description;
    checkOperator(golden, (tensors) =>
      node(
        tensors,
        [{ input: tensors.of("input.x"), operation, stride, mask: null, prefix: "" }],
        null,
        training,
      ),
    );
  });
});

interface NodeFields {
  readonly connections: readonly [input: number, operation: Primitive, stride: number][];
  readonly training: boolean;
}

describe("ista::node is the weighted, masked sum of its operations", () => {
  it.each(line<NodeFields>("nodes"))("%s", (_, golden) => {
    const { connections, training } = golden.description;
    checkOperator(golden, (tensors) => {
      const branches = connections.map(([source, operation, stride], k) => ({
        input: tensors.of(`input.x.${source}`),
        operation,
        stride,
        mask: tensors.maybe(`input.mask.${k}`),
        prefix: `operations.${k}.`,
      }));
      return node(tensors, branches, tensors.maybe("input.weights"), training);
    });
  });
});

type Settings = [training: boolean, momentum: number, epsilon: number];

/** ReLU, average pooling, 1x1 convolution, BN, ReLU, 2x2 convolution, BN (not for ImageNet), ReLU, linear: as networks do it. */
function auxiliaryHead(tensors: OperatorTensors, poolStride: number, settings: Settings): Tensor {
  const active = operators.relu(tensors.of("input.x"));
  const pooled = operators.averagePool(active, [5, 5], [poolStride, poolStride], [0, 0], false, false);
  const hidden = operators.convNorm(
    pooled,
    weight(tensors, "features.2"),
    norm(tensors, "features.3"),
    1,
    0,
    false,
    ...settings,
  );
  const last = operators.convNorm(
    hidden,
    weight(tensors, "features.5"),
    norm(tensors, "features.6"),
    1,
    0,
    true,
    ...settings,
  );
  const flat = operators.reshape(operators.relu(last), [last.shape[0], -1]);
  return operators.linear(flat, weight(tensors, "classifier"), tensors.of("parameter.classifier.bias"));
}

const blocks: Record<string, (tensors: OperatorTensors, x: Tensor, settings: Settings) => Tensor> = {
  relu_conv_norm: (t, x, settings) =>
    operators.reluConvNorm([x], weight(t, "op.1"), norm(t, "op.2"), ...settings),
  factorized_reduce: (t, x, settings) =>
    operators.factorizedReduce([x], weight(t, "conv_1"), weight(t, "conv_2"), norm(t, "bn"), ...settings),
  cifar_stem: (t, x, settings) =>
    operators.convNorm(x, weight(t, "0"), norm(t, "1"), 1, 1, false, ...settings),
  cifar_stem_grey: (t, x, settings) =>
    operators.convNorm(x, weight(t, "0"), norm(t, "1"), 1, 1, false, ...settings),
  imagenet_stem0: (t, x, settings) => {
    const half = operators.convNorm(x, weight(t, "0"), norm(t, "1"), 2, 1, false, ...settings);
    return operators.convNorm(half, weight(t, "3"), norm(t, "4"), 2, 1, true, ...settings);
  },
  imagenet_stem1: (t, x, settings) =>
    operators.convNorm(x, weight(t, "1"), norm(t, "2"), 2, 1, true, ...settings),
  auxiliary_head_cifar: (t, _, settings) => auxiliaryHead(t, 3, settings),
  auxiliary_head_imagenet: (t, _, settings) => auxiliaryHead(t, 2, settings),
};

/** A quarter of the channels, picked by a 1x1 convolution with zeros and ones. */
function quarterOfChannels(x: Tensor, part: number): Tensor {
  const channels = x.shape[1];
  const picked = channels / 4;
  const selection = Array.from({ length: picked * channels }, (_, i) =>
    i % channels === part * picked + Math.floor(i / channels) ? 1 : 0,
  );
  const data = x.dtype === "float64" ? Float64Array.from(selection) : Float32Array.from(selection);
  const kernel = Tensor.from(data, [picked, channels, 1, 1]);
  return operators.convolution(x, kernel, null, [1, 1], [0, 0], [1, 1], 1);
}

interface BlockFields {
  readonly block: string;
  readonly training: boolean;
}

describe("preprocessing, stems and auxiliary heads", () => {
  it.each(line<BlockFields>("blocks"))("%s", (_, golden) => {
    const { block, training } = golden.description;
    checkOperator(golden, (tensors) =>
      blocks[block](tensors, tensors.of("input.x"), [training, momentum, epsilon]),
    );
  });

  const concatenating = line<BlockFields>("blocks").filter(([, { description }]) =>
    ["relu_conv_norm", "factorized_reduce"].includes(description.block),
  );
  it.each(concatenating)("%s, of an input that comes in four parts", (_, golden) => {
    const { block, training } = golden.description;
    const settings: Settings = [training, momentum, epsilon];
    checkOperator(golden, (tensors) => {
      const x = tensors.of("input.x");
      const parts = [0, 1, 2, 3].map((part) => quarterOfChannels(x, part));
      return block === "relu_conv_norm"
        ? operators.reluConvNorm(parts, weight(tensors, "op.1"), norm(tensors, "op.2"), ...settings)
        : operators.factorizedReduce(
            parts,
            weight(tensors, "conv_1"),
            weight(tensors, "conv_2"),
            norm(tensors, "bn"),
            ...settings,
          );
    });
  });
});

describe("cross entropy", () => {
  it.each(line<{ label_smoothing: number }>("losses"))("%s", (_, golden) => {
    checkOperator(golden, (tensors) =>
      operators.crossEntropy(
        tensors.of("input.logits"),
        tensors.of("input.labels"),
        null,
        1,
        -100,
        golden.description.label_smoothing,
      ),
    );
  });
});
