// The architecture variables of a search: measurement, compressed code, recovery and optimiser state of each of the 8 nodes.

import { IstaError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import { type AdamOptions, type AdamState, adamStep, initialAdamState } from "./adam.js";
import { drawMeasurement, type Measurement, type MeasurementKind } from "./measurement.js";
import { type Recovery, type RecoveryOptions, recover } from "./recovery.js";
import { compressedGradient, searchWeights } from "./weights.js";

/** All cells of a type share one set of codes. */
export const codeGroups = ["normal", "reduction"] as const;

export type CodeGroup = (typeof codeGroups)[number];

/** One value for each intermediate node of each cell type. */
export type PerNode<T> = Readonly<Record<CodeGroup, readonly T[]>>;

export interface NodeId {
  readonly group: CodeGroup;
  /** Intermediate node, from 0. */
  readonly node: number;
}

/** What a search knows of one node. Nothing is changed in place: an update makes a new one. */
export interface NodeCode {
  readonly measurement: Measurement;
  /** b, of length m: the trained architecture variable. */
  readonly compressed: Float64Array;
  readonly recovery: Recovery;
  readonly adam: AdamState;
  /** A frozen node is neither trained nor recovered any more: its weights w_S(b) are constants. */
  readonly frozen: boolean;
}

export type Codes = PerNode<NodeCode>;

/** Applies a function to every node, normal cells first. */
export function mapNodes<T, U>(nodes: PerNode<T>, transform: (value: T, id: NodeId) => U): PerNode<U> {
  const group = (name: CodeGroup): U[] =>
    nodes[name].map((value, node) => transform(value, { group: name, node }));
  return { normal: group("normal"), reduction: group("reduction") };
}

/** The nodes with their values as one list, normal cells first. */
export function listNodes<T>(nodes: PerNode<T>): (NodeId & { readonly value: T })[] {
  return codeGroups.flatMap((group) => nodes[group].map((value, node) => ({ group, node, value })));
}

export interface CodesOptions {
  readonly seed: number;
  readonly measurement: MeasurementKind;
  /** m. */
  readonly compressedSize: number;
  /** n_j of each intermediate node: 14, 21, 28, 35 in the DARTS space. */
  readonly candidateCounts: readonly number[];
  readonly recovery: RecoveryOptions;
}

/** Scale of the initial compressed codes: b ~ 1e-3 * N(0, 1), as the authors' program draws them. */
export const initialScale = 1e-3;

function drawNode(options: CodesOptions, measurement: Measurement, stream: RandomStream): NodeCode {
  const compressed = Float64Array.from(
    { length: options.compressedSize },
    () => initialScale * stream.normal(),
  );
  return {
    measurement,
    compressed,
    recovery: recover(measurement, compressed, options.recovery),
    adam: initialAdamState(options.compressedSize),
    frozen: false,
  };
}

/**
 * Draws measurements and compressed codes and recovers every node for the first time.
 * @param excess says by how much a network of these supports is over the size budget (0: not at all); nodes are drawn again, in turn,
 * until it is not. Measurements are drawn once.
 * @throws BUDGET_IMPOSSIBLE if 10,000 draws found no start within the budget.
 */
export function initialCodes(
  options: CodesOptions,
  excess: (supports: PerNode<readonly number[]>) => number = () => 0,
): Codes {
  const streams = new Map<string, RandomStream>();
  const name = ({ group, node }: NodeId): string => `${group}/${node}`;
  const counts = { normal: options.candidateCounts, reduction: options.candidateCounts };
  let codes: Codes = mapNodes(counts, (columns, id) => {
    const matrixStream = RandomStream.named(options.seed, `measurement/${name(id)}`);
    const measurement = drawMeasurement(options.measurement, options.compressedSize, columns, matrixStream);
    const stream = RandomStream.named(options.seed, `code/${name(id)}`);
    streams.set(name(id), stream);
    return drawNode(options, measurement, stream);
  });
  let over = excess(supportsOf(codes));
  const ids = listNodes(codes);
  for (let draw = 0; over > 0; draw++) {
    if (draw === 10_000)
      throw new IstaError(
        "BUDGET_IMPOSSIBLE",
        `initial codes: no network within the size budget in ${draw} draws; raise the budget or try another seed`,
      );
    const { group, node } = ids[draw % ids.length];
    const candidate = drawNode(options, codes[group][node].measurement, streams.get(name({ group, node }))!);
    const trial: Codes = { ...codes, [group]: codes[group].with(node, candidate) };
    const excessOfTrial = excess(supportsOf(trial));
    if (excessOfTrial > over) continue;
    codes = trial;
    over = excessOfTrial;
  }
  return codes;
}

/** The support of every node: what is built, run and trained. */
export function supportsOf(codes: Codes): PerNode<readonly number[]> {
  return mapNodes(codes, ({ recovery }) => recovery.support);
}

/** w_S(b) of every node for its current b. */
export function weightsOf(codes: Codes): PerNode<Float64Array> {
  return mapNodes(codes, ({ measurement, recovery, compressed }) =>
    searchWeights(measurement, recovery.support, recovery.code, compressed),
  );
}

/** Adam step on b of every node that is not frozen, from the gradients of the loss with respect to w_S. */
export function stepCodes(codes: Codes, weightGradients: PerNode<Float64Array>, options: AdamOptions): Codes {
  return mapNodes(codes, (code, { group, node }) => {
    if (code.frozen) return code;
    const { measurement, recovery, compressed, adam } = code;
    const gradient = compressedGradient(measurement, recovery.support, weightGradients[group][node]);
    const { parameters, state } = adamStep(compressed, gradient, adam, options);
    return { ...code, compressed: parameters, adam: state };
  });
}

/** Recovers every node that is not frozen from its current b; frozen nodes keep what they have. */
export function recoverNodes(codes: Codes, options: RecoveryOptions): PerNode<Recovery> {
  return mapNodes(codes, (code) =>
    code.frozen ? code.recovery : recover(code.measurement, code.compressed, options),
  );
}
