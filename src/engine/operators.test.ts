// The operators of the networks against PyTorch: every primitive, sums of them, blocks, losses.
import { describe, expect, it } from "vitest";
import {
  checkOperator,
  type GoldenCase,
  goldenCases,
  type OperatorTensors,
} from "../../test/support/golden.js";
import { gradients } from "./autograd.js";
import {
  type NormTensors,
  operator,
  operators,
  type PatternKind,
  type PatternSettings,
} from "./operators.js";
import { scope, Tensor } from "./tensor.js";

/** The operations of the golden cases. */
type Primitive =
  | "max_pool_3x3"
  | "avg_pool_3x3"
  | "skip_connect"
  | "sep_conv_3x3"
  | "sep_conv_5x5"
  | "dil_conv_3x3"
  | "dil_conv_5x5";

const convert = operator<[Tensor, number], Tensor>("aten::to", "dtype");

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

function patternOf(operation: Primitive, stride: number): [PatternKind, PatternSettings] {
  switch (operation) {
    case "max_pool_3x3":
      return ["max-pool", [3, 1, stride, 1]];
    case "avg_pool_3x3":
      return ["average-pool", [3, 1, stride, 1]];
    case "skip_connect":
      return [stride === 1 ? "identity" : "factorized-reduce", [1, 1, stride, 1]];
    case "sep_conv_3x3":
      return ["separable", [3, 1, stride, 2]];
    case "sep_conv_5x5":
      return ["separable", [5, 1, stride, 2]];
    case "dil_conv_3x3":
      return ["separable", [3, 2, stride, 1]];
    case "dil_conv_5x5":
      return ["separable", [5, 2, stride, 1]];
  }
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
  const patterns = branches.map(({ operation, stride }) => patternOf(operation, stride));
  return operators.node(
    branches.map(({ input }) => input),
    weights,
    patterns.map(([kind]) => kind),
    patterns.flatMap(([, settings]) => settings),
    layers.flatMap(({ convolutions }, k) =>
      convolutions.map((name) => weight(tensors, branches[k].prefix + name)),
    ),
    layers.flatMap(({ norms }, k) => norms.flatMap((name) => norm(tensors, branches[k].prefix + name))),
    branches.map(({ mask }) => mask),
    false,
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
    return checkOperator(golden, (tensors) =>
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
    return checkOperator(golden, (tensors) => {
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

/** A repeatable tensor of small values about zero. */
function wave(shape: number[], double: boolean): Tensor {
  const values = Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, i) =>
    Math.sin(1.7 * i + shape.length),
  );
  return Tensor.from(double ? Float64Array.from(values) : Float32Array.from(values), shape);
}

interface Case {
  readonly kind: PatternKind;
  readonly settings: PatternSettings;
  /** Shapes of its convolutions, for 6 channels. */
  readonly convolutions: number[][];
}

/** A node of the branch and an identity on images of 2 x 6 x 7 x 9: its output and the gradients, as numbers. */
function valuesOf({ kind, settings, convolutions }: Case, double: boolean, recompute: boolean): number[] {
  return scope(() => {
    const input = wave([2, 6, 7, 9], double).setRequiresGrad(true);
    const second = operators.averagePool(input, [1, 1], [settings[2], settings[2]], [0, 0], false, false);
    const weights = wave([2], double).setRequiresGrad(true);
    const kernels = convolutions.map((shape) => wave(shape, double).setRequiresGrad(true));
    const normCount = kind === "separable" ? settings[3] : 1;
    const norms = Array.from({ length: normCount }, () => [
      wave([6], double).setRequiresGrad(true),
      wave([6], double).setRequiresGrad(true),
      operators.scale(wave([6], double), 0),
      operators.multiply(wave([6], double), wave([6], double)),
    ]).flat();
    const output = operators.node(
      [input, second],
      weights,
      [kind, "identity"],
      [...settings, 1, 1, 1, 1],
      kernels,
      [...norms, null, null, null, null],
      [wave([2], double), null],
      recompute,
      true,
      momentum,
      epsilon,
    );
    const loss = operators.sum(operators.multiply(output, wave(output.shape, double)));
    const leaves = [input, weights, ...kernels, ...norms.filter((_, i) => i % 4 < 2)];
    return [output, ...gradients(loss, leaves)].flatMap((tensor) => {
      if (tensor === null) throw new Error("no gradient");
      return [...convert(tensor, 6).toFloat32Array()];
    });
  });
}

function largestDifference(one: number[], other: number[]): number {
  expect(one.length).toBe(other.length);
  const largest = Math.max(...other.map(Math.abs));
  return Math.max(...one.map((value, i) => Math.abs(value - other[i]))) / largest;
}

describe("branches beyond the DARTS space, in single and in double precision", () => {
  const dense = (kernel: number, stride: number, dilation = 1): Case => ({
    kind: "dense",
    settings: [kernel, dilation, stride, 1],
    convolutions: [[6, 6, kernel, kernel]],
  });
  const separable = (kernel: number, dilation: number, stride: number, stages: number): Case => ({
    kind: "separable",
    settings: [kernel, dilation, stride, stages],
    convolutions: Array.from({ length: stages }, () => [
      [6, 1, kernel, kernel],
      [6, 6, 1, 1],
    ]).flat(),
  });
  const pool = (kind: PatternKind, kernel: number, stride: number): Case => ({
    kind,
    settings: [kernel, 1, stride, 1],
    convolutions: [],
  });
  const cases: [boolean, Case][] = [
    [true, dense(1, 1)],
    [true, dense(1, 2)],
    [true, dense(3, 1)],
    [true, dense(3, 2)],
    [true, separable(7, 2, 1, 2)],
    [true, separable(3, 1, 2, 1)],
    [false, dense(5, 1)],
    [false, dense(3, 2, 2)],
    [false, separable(9, 1, 1, 2)],
    [false, separable(3, 3, 1, 1)],
    [false, pool("average-pool", 5, 1)],
    [false, pool("max-pool", 5, 2)],
  ];
  it.each(cases.map(([fused, one]) => [`${one.kind} ${one.settings}`, fused, one] as const))(
    "%s, fused: %s",
    (_, fused, one) => {
      expect(operators.nodeAccepts(one.kind, ...one.settings)).toBe(fused);
      operators.profileStart();
      const single = valuesOf(one, false, false);
      const names = (JSON.parse(operators.profileReport()) as { name: string }[]).map(({ name }) => name);
      expect(names.some((name) => name.startsWith(`composed: ${one.kind}`))).toBe(!fused);
      expect(names.some((name) => name.startsWith(one.kind))).toBe(fused);
      expect(valuesOf(one, false, true)).toEqual(single);
      expect(largestDifference(single, valuesOf(one, true, false))).toBeLessThan(1e-5);
    },
  );

  it.each([
    ["pool" as PatternKind, [3, 1, 1, 1], /no kind of branch named pool/],
    ["identity", [1, 1, 2, 1], /identity has kernel 1 and stride 1/],
    ["max-pool", [3, 2, 1, 1], /max-pool has no dilation/],
    ["dense", [0, 1, 1, 1], /must be 1 to 4096, got 0/],
    ["dense", [3, 1, 1, 2], /dense has one stage, got 2/],
  ] as const)("%s %j means nothing", (kind, settings, message) => {
    expect(() => operators.nodeAccepts(kind, ...(settings as unknown as PatternSettings))).toThrow(message);
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
    return checkOperator(golden, (tensors) =>
      blocks[block](tensors, tensors.of("input.x"), [training, momentum, epsilon]),
    );
  });

  const concatenating = line<BlockFields>("blocks").filter(([, { description }]) =>
    ["relu_conv_norm", "factorized_reduce"].includes(description.block),
  );
  it.each(concatenating)("%s, of an input that comes in four parts", (_, golden) => {
    const { block, training } = golden.description;
    const settings: Settings = [training, momentum, epsilon];
    return checkOperator(golden, (tensors) => {
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
    return checkOperator(golden, (tensors) =>
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
