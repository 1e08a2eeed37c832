// What a search method is: its options, the networks that it trains, and how it searches (see course/search.ts).
import type { MethodOptions } from "../config/methods.js";
import type { Search, SearchContext } from "../course/search.js";
import type { NetworkDescription, NetworkShape, Space } from "../space/space.js";

export type { ConcludeControl, EpochReport, Search, SearchContext } from "../course/search.js";

export interface Method extends MethodOptions {
  /** The largest network that the search trains: its norms are those of all its networks, and its memory is estimated. */
  plan(space: Space, shape: NetworkShape, config: SearchContext["config"]): NetworkDescription;
  /** Networks of other shapes that it trains besides, not at the same time: their memory is estimated, too. */
  otherNetworks?(
    space: Space,
    shape: NetworkShape,
    config: SearchContext["config"],
  ): readonly NetworkDescription[];
  /** What a step costs, in forward passes: one for the pass itself, one for gradients of what goes in, one for those of the weights. */
  readonly passesPerStep: number;
  /** Values that depend on how many steps the search has, and a line that says so; null where all are given. */
  settle?(
    config: SearchContext["config"],
    stepsPerEpoch: number,
  ): { readonly values: Readonly<Record<string, unknown>>; readonly line: string } | null;
  /** Loads the module that searches: it needs the tensor library, and the options do not. */
  load(): Promise<(context: SearchContext) => Search>;
}
