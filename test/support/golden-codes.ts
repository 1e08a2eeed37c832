// The codes of golden super-net cases, as a search holds them.
import { darts } from "../../src/space/darts/space.js";
import type { Choice, NetworkShape } from "../../src/space/space.js";
import { initialAdamState } from "../../src/sparse/adam.js";
import type { ChoiceCode, Codes } from "../../src/sparse/codes.js";
import type { Recovery } from "../../src/sparse/recovery.js";
import { searchWeights } from "../../src/sparse/weights.js";
import type { GoldenCase } from "./golden.js";

/** How a golden trajectory of several steps was trained. */
export interface StepSettings {
  readonly steps: number;
  readonly lr: number;
  readonly momentum: number;
  readonly weight_decay: number;
  readonly clip: number;
  readonly code_lr: number;
  readonly code_weight_decay: number;
}

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

/** By group of choices, such as "normal", one entry for each of them. */
export type ByGroup<T> = Readonly<Record<string, readonly T[]>>;

export interface SearchFields extends NetworkFields {
  readonly supports: ByGroup<readonly number[]>;
  /** Numbers of the frozen choices in their group. */
  readonly frozen?: ByGroup<number>;
}

/** Where a choice stands in golden keys: its group, and its number there. */
export function goldenPlace(choices: readonly Choice[], index: number): { group: string; node: number } {
  const { group } = choices[index];
  return { group, node: index - choices.findIndex((choice) => choice.group === group) };
}

/** The supports of all choices, in their order. */
export const goldenSupports = (
  supports: ByGroup<readonly number[]>,
  choices: readonly Choice[] = darts.choices,
): (readonly number[])[] =>
  choices.map((_, index) => {
    const { group, node } = goldenPlace(choices, index);
    return supports[group][node];
  });

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
function recoveryOf(code: Float64Array, measurement: ChoiceCode["measurement"], b: Float64Array): Recovery {
  const support = [...code.keys()].filter((index) => code[index] !== 0);
  const weights = searchWeights(measurement, support, code, b);
  const cut = { residual: 0, nonzeros: support.length, completed: 0, lambda: 1e-5 };
  return { code, solution: code, support, weights, ...cut };
}

/** Replaces the sparse codes by those of the keys PREFIX.GROUP.zJ; b and Adam's state stay. */
export function withSparseCodes(
  codes: Codes,
  golden: GoldenCase,
  prefix: string,
  choices: readonly Choice[] = darts.choices,
): Codes {
  return codes.map((one, index) => {
    const { group, node } = goldenPlace(choices, index);
    const code = Float64Array.from(golden.floats(`${prefix}.${group}.z${node}`));
    return { ...one, recovery: recoveryOf(code, one.measurement, one.compressed) };
  });
}

/** A, b and z of every choice. */
export function goldenCodes(
  golden: GoldenCase<SearchFields>,
  choices: readonly Choice[] = darts.choices,
): Codes {
  const { frozen } = golden.description;
  return choices.map((_, index) => {
    const { group, node } = goldenPlace(choices, index);
    const {
      shape: [rows, columns],
      data,
    } = golden.tensor(`buffer.${group}.A${node}`);
    const measurement = {
      kind: "uniform" as const,
      rows,
      columns,
      data: Float64Array.from(data as Float32Array),
    };
    const compressed = Float64Array.from(golden.floats(`parameter.${group}.b.${node}`));
    const code = Float64Array.from(golden.floats(`buffer.${group}.z${node}`));
    return {
      measurement,
      compressed,
      recovery: recoveryOf(code, measurement, compressed),
      adam: initialAdamState(rows),
      frozen: frozen?.[group]?.includes(node) ?? false,
    };
  });
}

/** Whether a golden key belongs to the codes and not to the network. */
export const isCodeKey = (key: string): boolean => /^(parameter|buffer)\.(normal|reduction|cell)\./.test(key);
