// Golden cases that PyTorch computed (test/golden), and the one check of results and gradients against them.
import { join } from "node:path";
import { expect } from "vitest";
import { packageFolder } from "../../src/base/package.js";
import { gradients } from "../../src/engine/autograd.js";
import { operators } from "../../src/engine/operators.js";
import { scope, Tensor } from "../../src/engine/tensor.js";
import { readSafetensors, type StoredTensor } from "../../src/formats/safetensors.js";

interface Recipe {
  readonly shape: readonly number[];
  readonly seed: number;
  readonly scale: number;
}

interface Sample {
  readonly shape: readonly number[];
  readonly step: number;
  readonly norm: number;
}

/** What the golden files say of every case; each family adds its own fields. */
interface Description {
  /** Largest relative error of PyTorch's own float32. */
  readonly float32_error: number;
  /** Gradients smaller than this are compared absolutely. */
  readonly gradient_floor: number;
  readonly generated?: Readonly<Record<string, Recipe>>;
  readonly sampled?: Readonly<Record<string, Sample>>;
}

const elementCount = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

/** The noise that test/golden/README.md defines, in unsigned 32-bit arithmetic. */
function generate({ shape, seed, scale }: Recipe): StoredTensor {
  const data = Float32Array.from({ length: elementCount(shape) }, (_, index) => {
    let x = (index + Math.imul(seed, 0x9e3779b9)) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
    x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
    return (((x ^ (x >>> 16)) >>> 0) / 2 ** 31 - 1) * scale;
  });
  return { shape, data };
}

export class GoldenCase<Fields = unknown> {
  constructor(
    readonly name: string,
    readonly description: Description & Fields,
    private readonly stored: ReadonlyMap<string, StoredTensor>,
    private readonly nudge = 0,
  ) {}

  /** The same case with inputs that differ by up to so many roundings of float32. */
  nudged(roundings: number): GoldenCase<Fields> {
    return new GoldenCase(this.name, this.description, this.stored, roundings);
  }

  /** Names of stored and generated tensors that begin with the prefix. */
  keys(prefix: string): string[] {
    const all = [...this.stored.keys(), ...Object.keys(this.description.generated ?? {})];
    return all.filter((key) => key.startsWith(prefix));
  }

  has(key: string): boolean {
    return this.stored.has(key) || Object.hasOwn(this.description.generated ?? {}, key);
  }

  tensor(key: string): StoredTensor {
    const recipe = this.description.generated?.[key];
    const found = recipe === undefined ? this.stored.get(key) : generate(recipe);
    if (found === undefined) throw new Error(`golden case ${this.name} has no tensor ${key}`);
    const { data, shape } = found;
    if (this.nudge === 0 || !key.startsWith("input.") || !(data instanceof Float32Array)) return found;
    const unit = this.nudge * 2 ** -23;
    return { shape, data: data.map((value, index) => value * (1 + unit * Math.cos(index * this.nudge))) };
  }

  floats(key: string): Float32Array {
    return this.tensor(key).data as Float32Array;
  }
}

/** The cases of test/golden/FAMILY.safetensors. */
export function goldenCases<Fields>(family: string): GoldenCase<Fields>[] {
  const { tensors, metadata } = readSafetensors(join(packageFolder, `test/golden/${family}.safetensors`));
  const cases = new Map<string, Map<string, StoredTensor>>();
  for (const [name, tensor] of tensors) {
    const slash = name.indexOf("/");
    const group = cases.get(name.slice(0, slash)) ?? new Map<string, StoredTensor>();
    cases.set(name.slice(0, slash), group.set(name.slice(slash + 1), tensor));
  }
  const descriptions: Record<string, Description & Fields> = JSON.parse(metadata.get("cases")!);
  return Object.entries(descriptions).map(
    ([name, description]) => new GoldenCase(name, description, cases.get(name)!),
  );
}

/** What was computed, by golden key: `output.NAME`, `gradient.KEY`, `after.KEY`. */
export type Results = Map<string, ArrayLike<number>>;

/**
 * The tolerance in float32: 1e-4 at most; where PyTorch's own float32 comes closer to the exact results, ten times that, but
 * not below 1e-5, since another order of summation is no error.
 */
const float32Tolerance = ({ float32_error }: Description): number =>
  Math.min(1e-4, Math.max(1e-5, 10 * float32_error));

/** The golden tensors are rounded to float32: all that is left when double precision computes the same. */
const float64Tolerance = 1e-6;

/**
 * Compares everything that was computed with everything that the case knows. The rule: the largest difference of any element is
 * at most the tolerance times the largest magnitude in the golden tensor (but no less than the floor); the same for the norm of
 * tensors of which the file holds samples. An `after` without golden counterpart must be what it was before, bit for bit.
 */
export function expectGolden(
  golden: GoldenCase,
  results: Results,
  tolerance = float32Tolerance(golden.description),
): void {
  const problems: string[] = [];
  for (const prefix of ["output.", "gradient.", "after."])
    for (const key of golden.keys(prefix)) if (!results.has(key)) problems.push(`${key} was not computed`);
  for (const [key, values] of results) {
    if (!golden.has(key)) {
      const before = key.startsWith("after.")
        ? golden.floats(key.slice("after.".length))
        : new Float32Array(0);
      if (values.length !== before.length || before.some((value, i) => value !== values[i]))
        problems.push(`${key} is not in the golden case`);
      continue;
    }
    const error = relativeError(golden, key, values);
    if (!(error <= tolerance)) problems.push(`${key}: relative error ${error.toExponential(1)}`);
  }
  expect(problems, `tolerance ${tolerance.toExponential(1)}`).toEqual([]);
}

/**
 * Runs a check in float32 that ends in `expectGolden`. Gradients jump where a ReLU's input passes zero or a maximum changes its place: an
 * activation within a rounding of that lies on one side with one instruction set and on the other with another, though both are right. A
 * case that fails is tried with inputs that differ by a few roundings, and must then be met; a mistake of ours meets none.
 */
export async function awayFromKinks<Fields>(
  golden: GoldenCase<Fields>,
  check: (golden: GoldenCase<Fields>) => void | Promise<void>,
): Promise<void> {
  let first: unknown;
  for (const roundings of [0, 1, -1, 2, -2, 3, -3, 4, -4]) {
    try {
      return await check(roundings === 0 ? golden : golden.nudged(roundings));
    } catch (problem) {
      first ??= problem;
    }
  }
  throw first;
}

function relativeError(golden: GoldenCase, key: string, values: ArrayLike<number>): number {
  const expected = golden.floats(key);
  const sample = golden.description.sampled?.[key];
  const step = sample?.step ?? 1;
  if (values.length !== (sample === undefined ? expected.length : elementCount(sample.shape)))
    return Number.POSITIVE_INFINITY;
  const floor = key.startsWith("gradient.") ? golden.description.gradient_floor : 1e-6;
  const size = expected.reduce((largest, value) => Math.max(largest, Math.abs(value)), floor);
  const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - values[i * step])), 0);
  if (sample === undefined) return worst / size;
  const norm = Math.sqrt(Array.from(values).reduce((sum, value) => sum + value ** 2, 0));
  return Math.max(worst / size, Math.abs(norm - sample.norm) / Math.max(sample.norm, floor));
}

/** The results for `gradient.KEY` of every leaf that the loss depends on. */
export function gradientResults(loss: Tensor, leaves: ReadonlyMap<string, Tensor>): Results {
  const slopes = gradients(loss, [...leaves.values()]);
  const results: Results = new Map();
  for (const [index, key] of [...leaves.keys()].entries()) {
    const slope = slopes[index];
    if (slope !== null) results.set(`gradient.${key}`, slope.toArray() as Float32Array);
  }
  return results;
}

/** The tensors of a case for an operator, by golden key. */
export interface OperatorTensors {
  /** A tensor that the case has. */
  of(key: string): Tensor;
  /** Null where the case has none. */
  maybe(key: string): Tensor | null;
}

/**
 * Checks an operator in float32 (where fused kernels are used) and in double precision (compositions): results, gradients,
 * buffers afterwards.
 * @param forward the output y, or the loss itself where the case has no `input.probe`
 */
export async function checkOperator(
  golden: GoldenCase,
  forward: (tensors: OperatorTensors) => Tensor,
): Promise<void> {
  const check = (golden: GoldenCase, precision: "float32" | "float64"): void => {
    scope(() => {
      const tensors = new Map<string, Tensor>();
      for (const prefix of ["input.", "parameter.", "buffer."])
        for (const key of golden.keys(prefix)) tensors.set(key, operatorTensor(golden, key, precision));
      const output = forward({
        of: (key) => tensors.get(key) ?? expect.fail(`${golden.name} has no ${key}`),
        maybe: (key) => tensors.get(key) ?? null,
      });
      const probe = tensors.get("input.probe");
      const loss = probe === undefined ? output : operators.sum(operators.multiply(output, probe));
      const leaves = new Map([...tensors].filter(([key]) => golden.has(`gradient.${key}`)));
      const results = gradientResults(loss, leaves);
      results.set("output.loss", [loss.item()]);
      if (probe !== undefined) results.set("output.y", output.toArray() as Float32Array);
      for (const [key, tensor] of tensors)
        if (key.startsWith("buffer.")) results.set(`after.${key}`, tensor.toArray() as Float32Array);
      expectGolden(golden, results, precision === "float64" ? float64Tolerance : undefined);
    });
  };
  await awayFromKinks(golden, (nudged) => check(nudged, "float32"));
  check(golden, "float64");
}

function operatorTensor(golden: GoldenCase, key: string, precision: "float32" | "float64"): Tensor {
  const { data, shape } = golden.tensor(key);
  if (data instanceof BigInt64Array) return Tensor.from(data, shape);
  const values = precision === "float64" ? Float64Array.from(data as Float32Array) : (data as Float32Array);
  return Tensor.from(values, shape).setRequiresGrad(golden.has(`gradient.${key}`));
}
