// What a search space is: the choices that make an architecture, and the network that a choice of candidates is.

import { IstaError } from "../base/errors.js";
import type { RandomStream } from "../base/random.js";
import type { Graph } from "./graph.js";
import type { CellSketch } from "./sketch.js";

/** One candidate connection of a choice: an operation applied to an earlier node. */
export interface Candidate {
  readonly operation: string;
  /** Number of the earlier node, as genotypes write it; 0 where a choice has nothing to choose from but operations. */
  readonly predecessor: number;
}

/** One decision of an architecture: which of its candidates are kept. In sparse coding, one vector z. */
export interface Choice {
  /** Names random streams and vectors of weights; unique in the space, such as "normal/0". */
  readonly id: string;
  /** For people, such as "normal node 2". */
  readonly name: string;
  /** Choices of one group stand in one line: those of a cell type. */
  readonly group: string;
  readonly candidates: readonly Candidate[];
  /** The sparsity s of this choice: how many candidates are kept. */
  readonly kept: number;
  /** Whether the space demands that the kept candidates come from different predecessors. */
  readonly distinctPredecessors: boolean;
}

/**
 * An architecture as numbers: for every choice the indices of the kept candidates, in the order in which the network numbers them.
 */
export type Selection = readonly (readonly number[])[];

/** Size of a network, whatever its architecture is. */
export interface NetworkShape {
  readonly cells: number;
  /** Indices of the cells that halve the size; the space's own where not given. */
  readonly reductions?: readonly number[];
  /** Channels C of the first cell. */
  readonly channels: number;
  readonly inputChannels: number;
  readonly classes: number;
  readonly imageHeight: number;
  readonly imageWidth: number;
  /** "cifar": for small images. "imagenet": first layers that divide the sides of large ones. */
  readonly stem: "cifar" | "imagenet";
  /** Whether there is an auxiliary head for training. */
  readonly auxiliary: boolean;
}

/** Where a network has batch norms beyond those inside convolutions, and of what kind they are. */
export interface NormPlacement {
  /** A batch norm after each pooling. */
  readonly afterPool: boolean;
  /** A batch norm after each stride-1 identity (the stride-2 one always ends in one). */
  readonly afterSkip: boolean;
  /** Whether the batch norms inside cells have gamma and beta. Those outside of cells always do. */
  readonly affine: boolean;
}

/** The four kinds of network of a space (Yang et al. 2020, arXiv 2010.06176). */
export interface NormPlacements {
  /** Trained from scratch with a found architecture. */
  readonly plainEvaluation: NormPlacement;
  /** Of a one-stage architecture: every operation ends in a batch norm, into which its weight was folded. */
  readonly normalisedEvaluation: NormPlacement;
  readonly twoStageSuperNet: NormPlacement;
  readonly oneStageSuperNet: NormPlacement;
}

/** A network of a space, complete but for its weights. */
export interface NetworkDescription {
  readonly space: Space;
  readonly shape: NetworkShape;
  /**
   * Decides the names of tensors, and whether candidates are scaled: "evaluation" numbers kept candidates, "super-net" all of them,
   * with a layer `scale` behind each.
   */
  readonly form: "evaluation" | "super-net";
  readonly norms: NormPlacement;
  readonly selection: Selection;
  /** In a super-net: only one in this many channels goes through the candidates, the rest past them (Xu et al. 2020). */
  readonly partialChannels?: number;
  /** Whether drop-path drops a branch that passes its input on as it is, too; it is spared where not given. */
  readonly dropIdentities?: boolean;
}

/** A published architecture. */
export interface NamedArchitecture {
  readonly description: string;
  readonly selection: Selection;
  /** Where the published network has batch norms. */
  readonly norms: NormPlacement;
}

/** A way to write an architecture other than the JSON form. */
export interface TextForm {
  /** Word for `--format`. */
  readonly name: string;
  /** For messages, such as "Genotype(...)". */
  readonly example: string;
  /** Whether a text looks like one of this form; `parse` then says what is wrong with it. */
  recognises(text: string): boolean;
  /** Texts of this form inside of a longer one, such as a log or a module, with their names in it; none where a text is just one. */
  find?(text: string): readonly { readonly name: string | null; readonly text: string }[];
  /** @throws IstaError GENOTYPE_INVALID */
  parse(text: string): Selection;
  format(selection: Selection): string;
}

/** What the names and shapes of a trained network's tensors tell. */
export interface WeightsDescription {
  readonly shape: Omit<NetworkShape, "imageHeight" | "imageWidth">;
  readonly norms: NormPlacement;
  /** Side of the images that such networks are usually for, pixels. */
  readonly usualImageSize: number;
}

/** Sizes that make sense where the user gives none. */
export interface UsualSize {
  readonly cells: number;
  readonly channels: number;
}

/**
 * A search space. Sizes must add up: what a kept candidate adds to the network's parameters and mult-adds does not depend on what
 * the other choices keep (layers of a candidate carry its place; see graph.ts).
 */
export interface Space {
  readonly name: string;
  readonly description: string;
  readonly choices: readonly Choice[];
  readonly norms: NormPlacements;
  /** Whether networks may have an auxiliary head for training. */
  readonly hasAuxiliaryHead: boolean;
  readonly usualSize: { readonly search: UsualSize; readonly train: UsualSize };
  readonly named: Readonly<Record<string, NamedArchitecture>>;
  /** @throws IstaError NETWORK_SHAPE if no network can have the shape */
  graph(network: NetworkDescription): Graph;
  /** The JSON form: an object whose key `space` names this space. */
  toGenotype(selection: Selection): Genotype;
  /** @throws IstaError GENOTYPE_INVALID with the JSON path of the first thing wrong */
  fromGenotype(value: unknown): Selection;
  /** The JSON form as text. */
  formatGenotype(selection: Selection): string;
  readonly texts: readonly TextForm[];
  /**
   * What the tensors of a trained network tell of it, by their names and shapes; null where they are of no network of this space.
   * What a damaged state dict lacks is guessed here and reported where it is loaded.
   */
  describeWeights(shapes: ReadonlyMap<string, readonly number[]>): WeightsDescription | null;
  /** What to draw. */
  sketch(selection: Selection): readonly CellSketch[];
}

/** The JSON form of an architecture; each space has keys of its own. */
export interface Genotype {
  readonly space: string;
}

/** An architecture with the space that it is of. */
export interface Architecture {
  readonly space: Space;
  readonly selection: Selection;
}

/** The JSON form of an architecture. */
export const genotypeOf = ({ space, selection }: Architecture): Genotype => space.toGenotype(selection);

/** "sep_conv_3x3 0" */
export const candidateName = ({ operation, predecessor }: Candidate): string => `${operation} ${predecessor}`;

/** The predecessors that a choice can take candidates from, ascending. */
export const predecessorsOf = ({ candidates }: Choice): number[] =>
  [...new Set(candidates.map(({ predecessor }) => predecessor))].sort((a, b) => a - b);

/** Every candidate of every choice. */
export const allCandidates = ({ choices }: Space): Selection =>
  choices.map(({ candidates }) => candidates.map((_, index) => index));

/** The network of an architecture, as it is trained and used. */
export function evaluationNetwork(
  { space, selection }: Architecture,
  shape: NetworkShape,
  norms: NormPlacement = space.norms.plainEvaluation,
): NetworkDescription {
  return { space, shape, form: "evaluation", norms, selection };
}

/** A super-net with the given connections only (those in the support of the codes), or with all candidates. */
export function superNetwork(
  space: Space,
  shape: NetworkShape,
  norms: NormPlacement,
  selection: Selection = allCandidates(space),
): NetworkDescription {
  return { space, shape, form: "super-net", norms, selection };
}

/**
 * Checks that a selection is an architecture of the space.
 * @throws IstaError GENOTYPE_INVALID
 */
export function validateSelection(space: Space, selection: Selection): void {
  const refuse = (what: string): never => {
    throw new IstaError("GENOTYPE_INVALID", `genotype of ${space.name}: ${what}`);
  };
  const { choices } = space;
  if (selection.length !== choices.length)
    refuse(`expected ${choices.length} choices, got ${selection.length}`);
  for (const [number, { name, candidates, kept, distinctPredecessors }] of choices.entries()) {
    const chosen = selection[number];
    if (chosen.length !== kept || new Set(chosen).size !== kept)
      refuse(`expected ${kept} different candidates of ${name}, got ${chosen.join(", ") || "none"}`);
    const stray = chosen.find((index) => candidates[index] === undefined);
    if (stray !== undefined)
      refuse(`expected candidates of ${name} below ${candidates.length}, got ${stray}`);
    const predecessors = new Set(chosen.map((index) => candidates[index].predecessor));
    if (distinctPredecessors && predecessors.size !== kept)
      refuse(`expected candidates of ${name} from ${kept} different predecessors, got ${predecessors.size}`);
  }
}

/** The kept candidates of every choice, ascending: the supports of the codes. */
export const sortedSelection = (selection: Selection): number[][] =>
  selection.map((chosen) => [...chosen].sort((a, b) => a - b));

/** A text that is the same for the same architecture, whatever the order inside a choice. */
export const selectionKey = (selection: Selection): string => JSON.stringify(sortedSelection(selection));

/** Whether two selections are the same architecture, whatever the order inside a choice. */
export const sameSelection = (a: Selection, b: Selection): boolean => selectionKey(a) === selectionKey(b);

/**
 * An architecture drawn evenly: of each choice distinct predecessors, ascending, and an operation on each, all independent (the
 * random baseline of DARTS, Liu et al. 2019). A choice that keeps more than it has predecessors draws distinct candidates.
 */
export function randomSelection({ choices }: Space, stream: RandomStream): Selection {
  return choices.map((choice) => {
    const { candidates, kept } = choice;
    const predecessors = predecessorsOf(choice);
    if (kept > predecessors.length)
      return stream
        .shuffle(candidates.map((_, index) => index))
        .slice(0, kept)
        .sort((a, b) => a - b);
    return stream
      .shuffle(predecessors)
      .slice(0, kept)
      .sort((a, b) => a - b)
      .map((from) => {
        const those = [...candidates.keys()].filter((index) => candidates[index].predecessor === from);
        return those[stream.integer(those.length)];
      });
  });
}
