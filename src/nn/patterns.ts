// Which operators compute a graph: fused ones where layers form a pattern that has one, libtorch's own for all other layers.
import type { PatternKind } from "../engine/operators.js";
import type { Convolution, Graph, Layer, Norm, Value } from "../space/graph.js";

/** What `ista::node` computes in one branch. */
export interface BranchPattern {
  readonly kind: PatternKind;
  readonly kernel: number;
  readonly dilation: number;
  readonly stride: number;
  /** How often ReLU, depthwise, pointwise and norm follow each other in a separable convolution. */
  readonly stages: number;
}

/** A term of a sum: a pattern with its layers. */
export interface Branch extends BranchPattern {
  readonly input: Value;
  readonly convolutions: readonly Convolution[];
  /** One for each stage of a separable convolution, else one; null where there is none. */
  readonly norms: readonly (Norm | null)[];
  /** Whether drop-path may drop it. */
  readonly dropped: boolean;
}

/** Entries of a vector that the forward pass is given, one for each branch. */
export interface BranchWeights {
  readonly vector: string;
  readonly indices: readonly number[];
}

/** One operator call, or a layer as it is. */
export type Instruction = { readonly value: Value; readonly name: string } & (
  | { readonly kind: "node"; readonly branches: readonly Branch[]; readonly weights: BranchWeights | null }
  | {
      readonly kind: "dense";
      readonly input: Value;
      readonly convolution: Convolution;
      readonly norm: Norm | null;
      readonly rectified: boolean;
    }
  | {
      readonly kind: "factorized-reduce";
      readonly input: Value;
      readonly convolutions: readonly [Convolution, Convolution];
      readonly norm: Norm;
    }
  | { readonly kind: "layer"; readonly layer: Layer }
);

/** "separable 5x5", "max-pool 3x3 stride 2", "identity" */
export function patternName({ kind, kernel, dilation, stride }: BranchPattern): string {
  return [
    kind,
    kernel > 1 ? ` ${kernel}x${kernel}` : "",
    dilation > 1 ? ` dilation ${dilation}` : "",
    stride > 1 ? ` stride ${stride}` : "",
  ].join("");
}

/** The values that an instruction reads. */
export function readsOf(instruction: Instruction): readonly Value[] {
  switch (instruction.kind) {
    case "node":
      return instruction.branches.map(({ input }) => input);
    case "layer":
      return instruction.layer.inputs;
    default:
      return [instruction.input];
  }
}

/** The instructions that compute a graph's logits, in order, and what nothing reads: its batch norms see every batch all the same. */
export function instructionsOf(graph: Graph): Instruction[] {
  const finder = new PatternFinder(graph);
  const found = new Map<Value, Instruction>();
  const wanted = [...graph.layers.keys()].filter((value) => finder.isUnread(value));
  for (let value = wanted.pop(); value !== undefined; value = wanted.pop()) {
    if (found.has(value) || graph.layers[value].kind === "images") continue;
    const instruction = finder.instruction(value);
    found.set(value, instruction);
    wanted.push(...readsOf(instruction));
  }
  return [...found.values()].sort((a, b) => a.value - b.value);
}

interface Term {
  readonly value: Value;
  readonly scale: { readonly vector: string; readonly index: number } | null;
}

class PatternFinder {
  /** How many layers read each value: what only one reads need not be there by itself. */
  private readonly readers: Uint32Array;
  /** Values whose numbers go into another one: zeros only take the size. */
  private readonly used: ReadonlySet<Value>;

  constructor(private readonly graph: Graph) {
    this.readers = new Uint32Array(graph.layers.length);
    for (const { inputs } of graph.layers) for (const input of inputs) this.readers[input] += 1;
    const users = graph.layers.filter(({ kind }) => kind !== "zeros");
    this.used = new Set(users.flatMap(({ inputs }) => inputs));
  }

  isUnread(value: Value): boolean {
    return !this.used.has(value);
  }

  private layer(value: Value): Layer {
    return this.graph.layers[value];
  }

  private input(value: Value): Value {
    return this.layer(value).inputs[0];
  }

  /** The layer of a value that only one other layer reads, where it is of the kind. */
  private inner<Kind extends Layer["kind"]>(value: Value, kind: Kind): (Layer & { kind: Kind }) | null {
    const layer = this.layer(value);
    return layer.kind === kind && this.readers[value] === 1 ? (layer as Layer & { kind: Kind }) : null;
  }

  instruction(value: Value): Instruction {
    const layer = this.layer(value);
    const { name } = layer;
    if (layer.kind === "add") return this.node(value, layer);
    if (layer.kind === "norm") {
      const reduce = this.factorizedReduce(value);
      if (reduce !== null) return { kind: "factorized-reduce", value, name, ...reduce };
      const convolution = this.inner(layer.inputs[0], "convolution");
      if (convolution !== null && isDense(convolution))
        return { kind: "dense", value, name, ...this.dense(convolution), norm: layer };
    }
    if (layer.kind === "convolution" && isDense(layer))
      return { kind: "dense", value, name, ...this.dense(layer), norm: null };
    return { kind: "layer", value, name, layer };
  }

  /** A dense convolution with the ReLU before it, where there is one. */
  private dense(convolution: Convolution) {
    const [before] = convolution.inputs;
    const rectified = this.layer(before).kind === "relu";
    return { convolution, rectified, input: rectified ? this.input(before) : before };
  }

  private node(value: Value, { name, inputs }: Layer): Instruction {
    const terms = inputs.map((input) => this.term(input));
    const vectors = new Set(terms.map(({ scale }) => scale?.vector ?? null));
    const [vector] = vectors;
    // Branches with and without weights do not go together: then what is scaled is computed by itself.
    const together = vectors.size === 1;
    const branches = (together ? terms.map((term) => term.value) : inputs).map((input) => this.branch(input));
    const kept = branches.flatMap((branch, index) => (branch === null ? [] : [index]));
    if (kept.length === 0) {
      // Nothing but zeros.
      const zeros = this.layer(terms[0].value);
      return { kind: "layer", value, name, layer: zeros };
    }
    return {
      kind: "node",
      value,
      name,
      branches: kept.map((index) => branches[index]!),
      weights:
        together && vector !== null
          ? { vector, indices: kept.map((index) => terms[index].scale!.index) }
          : null,
    };
  }

  private term(value: Value): Term {
    const layer = this.inner(value, "scale");
    if (layer === null) return { value, scale: null };
    return { value: layer.inputs[0], scale: { vector: layer.vector, index: layer.index } };
  }

  /** The pattern that ends in this value, with an identity for what has none; null for zeros. */
  private branch(value: Value): Branch | null {
    const drop = this.inner(value, "drop-path");
    const ending = drop === null ? value : drop.inputs[0];
    const dropped = drop !== null;
    if (this.layer(ending).kind === "zeros") return null;
    // Patterns end where the branch begins: what others made stays theirs, even if nobody else reads it.
    const own = this.layer(value).place.branch;
    if (own === undefined || this.layer(ending).place.branch !== own)
      return { ...identity, input: ending, norms: [null], dropped };
    const pattern = this.separable(ending) ?? this.reduceBranch(ending) ?? this.simple(ending, own);
    return { ...pattern, dropped };
  }

  /** ReLU, depthwise, pointwise, norm: one stage that ends in this value. */
  private stage(value: Value) {
    const norm = this.inner(value, "norm");
    const pointwise = norm && this.inner(norm.inputs[0], "convolution");
    const depthwise = pointwise && this.inner(pointwise.inputs[0], "convolution");
    if (!norm || !pointwise || !depthwise || !isPlainPointwise(pointwise)) return null;
    const relu = this.layer(depthwise.inputs[0]);
    const { kernel, dilation, padding, stride, groups, inputChannels } = depthwise;
    const fits =
      relu.kind === "relu" &&
      groups === inputChannels &&
      depthwise.output.channels === groups &&
      padding === (dilation * (kernel - 1)) / 2;
    if (!fits) return null;
    return { input: relu.inputs[0], norm, convolutions: [depthwise, pointwise], kernel, dilation, stride };
  }

  private separable(value: Value): Omit<Branch, "dropped"> | null {
    const last = this.stage(value);
    if (last === null) return null;
    const { kernel, dilation } = last;
    // What lies between two stages is read by nothing but the ReLU of the second.
    const first = this.stage(last.input);
    const twice =
      first !== null && first.kernel === kernel && first.dilation === dilation && last.stride === 1;
    if (!twice) return { ...last, kind: "separable", stages: 1, norms: [last.norm] };
    return {
      ...first,
      kind: "separable",
      stages: 2,
      norms: [first.norm, last.norm],
      convolutions: [...first.convolutions, ...last.convolutions],
    };
  }

  private factorizedReduce(value: Value) {
    const norm = this.layer(value);
    const joined = norm.kind === "norm" ? this.inner(norm.inputs[0], "concatenate") : null;
    if (joined === null || joined.inputs.length !== 2) return null;
    const [first, second] = joined.inputs.map((input) => this.inner(input, "convolution"));
    if (first == null || second == null) return null;
    const shift = this.layer(second.inputs[0]);
    const relu = this.layer(first.inputs[0]);
    const fits =
      [first, second].every(({ kernel, stride, groups }) => kernel === 1 && stride === 2 && groups === 1) &&
      shift.kind === "shift" &&
      shift.inputs[0] === first.inputs[0] &&
      relu.kind === "relu";
    if (!fits) return null;
    const convolutions: [Convolution, Convolution] = [first, second];
    return { input: relu.inputs[0], convolutions, norm: norm as Norm };
  }

  private reduceBranch(value: Value): Omit<Branch, "dropped"> | null {
    const found = this.readers[value] === 1 ? this.factorizedReduce(value) : null;
    if (found === null) return null;
    const { input, convolutions, norm } = found;
    return {
      kind: "factorized-reduce",
      kernel: 1,
      dilation: 1,
      stride: 2,
      stages: 1,
      input,
      convolutions,
      norms: [norm],
    };
  }

  /** A dense convolution, a pooling or nothing, with the norm behind it where there is one. */
  private simple(value: Value, own: string): Omit<Branch, "dropped"> {
    const norm = this.inner(value, "norm") as Norm | null;
    const before = norm === null ? value : norm.inputs[0];
    const norms = [norm];
    const inside = this.readers[before] === 1 && this.layer(before).place.branch === own;
    const layer = inside ? this.layer(before) : null;
    if (layer?.kind === "convolution" && isDense(layer) && isSame(layer)) {
      const { input, rectified } = this.dense(layer);
      const { kernel, stride } = layer;
      if (rectified)
        return { kind: "dense", kernel, dilation: 1, stride, stages: 1, input, convolutions: [layer], norms };
    }
    if (layer?.kind === "pool") {
      const { pooling, kernel, stride, padding } = layer;
      const square = kernel[0] === kernel[1] && stride[0] === stride[1] && padding === (kernel[0] - 1) / 2;
      if (square)
        return {
          kind: `${pooling}-pool`,
          kernel: kernel[0],
          dilation: 1,
          stride: stride[0],
          stages: 1,
          input: layer.inputs[0],
          convolutions: [],
          norms,
        };
    }
    // The norm of a layer that has an operator of its own goes with that operator.
    const belongs = norm === null || this.instruction(value).kind !== "layer";
    return belongs ? { ...identity, input: value, norms: [null] } : { ...identity, input: before, norms };
  }
}

const identity = {
  kind: "identity",
  kernel: 1,
  dilation: 1,
  stride: 1,
  stages: 1,
  convolutions: [],
} as const;

const isDense = ({ groups, dilation }: Convolution): boolean => groups === 1 && dilation === 1;

const isSame = ({ kernel, padding }: Convolution): boolean => padding === (kernel - 1) / 2;

const isPlainPointwise = ({ kernel, stride, padding, groups }: Convolution): boolean =>
  kernel === 1 && stride === 1 && padding === 0 && groups === 1;
