// The codes of golden super-net cases, as a search holds them.
import { intermediateNodeCount } from "../../src/space/darts.js";
import type { NetworkShape } from "../../src/space/layout.js";
import { initialAdamState } from "../../src/sparse/adam.js";
import type { CodeGroup, Codes, NodeCode, PerNode } from "../../src/sparse/codes.js";
import type { Recovery } from "../../src/sparse/recovery.js";
import { searchWeights } from "../../src/sparse/weights.js";
import type { GoldenCase } from "./golden.js";

/** What the golden files say of every network. */
export interface NetworkFields {
  readonly training: boolean;
  readonly channels: number;
  readonly cells: number;
  readonly classes: number;
  readonly reductions?: readonly number[];
  readonly auxiliary?: boolean;
  readonly imagenet?: boolean;
}

export interface SearchFields extends NetworkFields {
  readonly supports: PerNode<readonly number[]>;
  readonly frozen?: PerNode<number>;
}

/** The shape of a golden network for images of this size. */
export function goldenShape(description: NetworkFields, imageSize: number): NetworkShape {
  const { cells, channels, classes, reductions, auxiliary, imagenet } = description;
  return {
    cells,
    channels,
    classes,
    ...(reductions === undefined ? {} : { reductions }),
    inputChannels: 3,
    imageHeight: imageSize,
    imageWidth: imageSize,
    stem: imagenet === true ? "imagenet" : "cifar",
    auxiliary: auxiliary ?? false,
  };
}

/** A recovery with the given code; its figures (residual and the like) play no part in a step. */
function recoveryOf(code: Float64Array, measurement: NodeCode["measurement"], b: Float64Array): Recovery {
  const support = [...code.keys()].filter((index) => code[index] !== 0);
  const weights = searchWeights(measurement, support, code, b);
  return { code, support, weights, residual: 0, nonzeros: support.length, completed: 0, lambda: 1e-5 };
}

/** Replaces the sparse codes by those of the keys PREFIX.GROUP.zJ; b and Adam's state stay. */
export function withSparseCodes(codes: Codes, golden: GoldenCase, prefix: string): Codes {
  const group = (name: CodeGroup): NodeCode[] =>
    codes[name].map((node, index) => {
      const code = Float64Array.from(golden.floats(`${prefix}.${name}.z${index}`));
      return { ...node, recovery: recoveryOf(code, node.measurement, node.compressed) };
    });
  return { normal: group("normal"), reduction: group("reduction") };
}

/** A, b and z of every node. */
export function goldenCodes(golden: GoldenCase<SearchFields>): Codes {
  const { frozen } = golden.description;
  const group = (name: CodeGroup): NodeCode[] =>
    Array.from({ length: intermediateNodeCount }, (_, node) => {
      const {
        shape: [rows, columns],
        data,
      } = golden.tensor(`buffer.${name}.A${node}`);
      const measurement = {
        kind: "uniform" as const,
        rows,
        columns,
        data: Float64Array.from(data as Float32Array),
      };
      const compressed = Float64Array.from(golden.floats(`parameter.${name}.b.${node}`));
      const code = Float64Array.from(golden.floats(`buffer.${name}.z${node}`));
      return {
        measurement,
        compressed,
        recovery: recoveryOf(code, measurement, compressed),
        adam: initialAdamState(rows),
        frozen: frozen?.[name].includes(node) ?? false,
      };
    });
  return { normal: group("normal"), reduction: group("reduction") };
}

/** Whether a golden key belongs to the codes and not to the network. */
export const isCodeKey = (key: string): boolean => /^(parameter|buffer)\.(normal|reduction)\./.test(key);
