// A search from its configuration to its results: what the command `search` and the library call.

import type { SearchConfig } from "../config/config.js";
import { evaluate } from "../course/evaluate.js";
import {
  executeRun,
  type RunControl,
  type RunRequest,
  type RunResult,
  type RunWork,
} from "../course/execute.js";
import { lastValidationAccuracy, testFigures, writeArchitecture, writeRunModel } from "../course/results.js";
import { networkShape } from "../course/shape.js";
import type { Sources } from "../course/sources.js";
import { Network } from "../nn/network.js";
import type { RunDirectory } from "../run/directory.js";
import { connectionsPerNode, intermediateNodeCount } from "../space/darts.js";
import { evaluationNetwork, type NetworkDescription, normPlacements, superNetwork } from "../space/layout.js";
import { OneStageSearch } from "./ista/one-stage.js";
import { TwoStageSearch } from "./ista/two-stage.js";

type Search = TwoStageSearch | OneStageSearch;

class SearchWork implements RunWork<"search", Search> {
  readonly kind = "search";

  plan(config: SearchConfig, sources: Sources): NetworkDescription {
    const norms =
      config.mode === "one-stage" ? normPlacements.oneStageSuperNet : normPlacements.twoStageSuperNet;
    // Which connections the codes will choose is not known: no others keep more than these.
    const connections = Array.from({ length: intermediateNodeCount }, () =>
      Array.from({ length: connectionsPerNode }, (_, predecessor) => ({
        operation: "sep_conv_5x5" as const,
        predecessor,
      })),
    );
    return superNetwork(networkShape(config, sources), norms, {
      normal: connections,
      reduction: connections,
    });
  }

  create(config: SearchConfig, sources: Sources): Search {
    const shape = networkShape(config, sources);
    return config.mode === "one-stage"
      ? new OneStageSearch(config, sources, shape)
      : new TwoStageSearch(config, sources, shape);
  }

  begin(): void {}

  async finish(search: Search, run: RunDirectory, config: SearchConfig, sources: Sources) {
    writeArchitecture(run, search.genotype, run.name);
    const part = this.describe(search, run);
    if (search instanceof TwoStageSearch) return part;
    return { ...part, ...(await this.keepNetwork(search, run, config, sources)) };
  }

  /** The one-stage search's network, folded to a plain one, with its figures on the test images. */
  private async keepNetwork(
    search: OneStageSearch,
    run: RunDirectory,
    config: SearchConfig,
    sources: Sources,
  ) {
    const { genotype, shape } = search;
    const norms = normPlacements.normalisedEvaluation;
    const weights = search.absorbed();
    const { normalisation, resizeRatio, classes, test } = sources;
    writeRunModel(run, { genotype, shape, norms, normalisation, resizeRatio, classes, weights });
    const network = new Network(evaluationNetwork(genotype, { ...shape, auxiliary: false }, norms), {
      seed: config.seed,
      device: config.device,
    });
    try {
      network.loadStateDict(weights);
      return testFigures(test === null ? null : await evaluate(network, test));
    } finally {
      network.dispose();
    }
  }

  describe(search: Search, run: RunDirectory) {
    return {
      arch: run.name,
      genotype: search.genotype,
      parameters: search.size.params,
      multiplyAdds: search.size.multAdds,
      validationAccuracy: lastValidationAccuracy(run),
    };
  }
}

/**
 * Searches for cells. The run directory holds them as genotype.json and as a drawing; a one-stage search also leaves the
 * trained network as model.safetensors.
 * @throws IstaError CONFIG_*, DATA_*, NETWORK_SHAPE, BUDGET_IMPOSSIBLE, RUN_* and others that name what stopped it
 */
export function runSearch(request: RunRequest<"search">, control: RunControl): Promise<RunResult> {
  return executeRun(new SearchWork(), request, control);
}
