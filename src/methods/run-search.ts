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
import { explorationLine } from "../course/exploration.js";
import { writeConfusion } from "../course/figures.js";
import { measureFindings, openTable } from "../course/findings.js";
import { lastValidationAccuracy, testFigures, writeArchitecture, writeRunModel } from "../course/results.js";
import { type ConcludeControl, type Search, SearchCourse, searchContext } from "../course/search.js";
import { networkShape } from "../course/shape.js";
import type { Sources } from "../course/sources.js";
import { Device } from "../engine/device.js";
import { Network } from "../nn/network.js";
import type { RunDirectory } from "../run/directory.js";
import { findSpace } from "../space/registry.js";
import { evaluationNetwork, genotypeOf, type NetworkDescription } from "../space/space.js";
import type { Method, SearchContext } from "./method.js";
import { methodOf } from "./registry.js";

type AnyConfig = SearchContext["config"];

/** The largest network that a search will train. @throws IstaError NETWORK_SHAPE */
const planOf = (method: Method, config: SearchConfig, sources: Sources): NetworkDescription =>
  method.plan(findSpace(config.space), networkShape(config, sources), config as AnyConfig);

/**
 * A search of the configured method, at its beginning.
 * @throws IstaError NETWORK_SHAPE, BUDGET_IMPOSSIBLE, CONFIG_VALUE, and TABLE_INVALID, FILE_* for the table of known accuracies
 */
export async function createSearch(config: SearchConfig, sources: Sources): Promise<SearchCourse> {
  const method = methodOf(config);
  const begin = await method.load();
  const device = Device.named(config.device);
  const table = openTable(config, findSpace(config.space));
  const context = searchContext(config as AnyConfig, sources, device, planOf(method, config, sources));
  return new SearchCourse(context, begin(context), table);
}

class SearchWork implements RunWork<"search", SearchCourse> {
  readonly kind = "search";

  settle(config: SearchConfig, { training }: Sources) {
    const settled = methodOf(config).settle?.(config as AnyConfig, training.batchCount) ?? null;
    return settled && { config: { ...config, ...settled.values }, line: settled.line };
  }

  plan(config: SearchConfig, sources: Sources): NetworkDescription {
    return planOf(methodOf(config), config, sources);
  }

  otherNetworks(config: SearchConfig, sources: Sources): readonly NetworkDescription[] {
    const shape = networkShape(config, sources);
    return methodOf(config).otherNetworks?.(findSpace(config.space), shape, config as AnyConfig) ?? [];
  }

  create(config: SearchConfig, sources: Sources): Promise<SearchCourse> {
    return createSearch(config, sources);
  }

  begin(): void {}

  async finish(
    course: SearchCourse,
    run: RunDirectory,
    config: SearchConfig,
    sources: Sources,
    control: RunControl,
  ) {
    const conclusion = await this.conclude(course, {
      stop: control.stop,
      line: (text) => control.observer.line(text),
    });
    if (conclusion === null) return null;
    writeArchitecture(run, course.architecture, run.name);
    control.observer.line(explorationLine(course.explored));
    if (!course.context.fits(course.search.selection))
      control.observer.warn(
        `the found architecture is over the size budget: ${config.method} has not kept to it; do not take it for one that is within`,
      );
    const part = { ...this.describe(course, run), ...conclusion };
    const trained = course.search.trainedNetwork?.();
    const figures =
      trained &&
      (await this.keepNetwork(course, trained, run, config, sources, (text) => control.observer.warn(text)));
    const findings = await measureFindings(course, run, config, control);
    return findings && { ...part, ...figures, ...findings };
  }

  /** What the search does after its last epoch, for the summary; null when it was stopped. */
  private async conclude({ search }: SearchCourse, control: ConcludeControl) {
    if (search.conclude === undefined) return {};
    const report = await search.conclude(control);
    if (report === null) return null;
    for (const line of report.lines) control.line(line);
    const { validationAccuracy } = report.record;
    return {
      conclusion: report.record,
      ...(typeof validationAccuracy === "number" ? { validationAccuracy } : {}),
    };
  }

  /** The network that the search has trained, a plain one, with its figures on the test images and the held-out ones. */
  private async keepNetwork(
    { architecture, context }: SearchCourse,
    { norms, weights }: ReturnType<NonNullable<Search["trainedNetwork"]>>,
    run: RunDirectory,
    config: SearchConfig,
    sources: Sources,
    warn: (text: string) => void,
  ) {
    const { shape, device } = context;
    const { normalisation, picture, classes, test, validation } = sources;
    writeRunModel(run, { architecture, shape, norms, normalisation, ...picture, classes, weights });
    const description = evaluationNetwork(architecture, { ...shape, auxiliary: false }, norms);
    const network = new Network(description, { seed: config.seed, device });
    try {
      network.loadStateDict(weights);
      const { microBatch } = config;
      const heldOut = validation === null ? null : await evaluate(network, validation, { microBatch });
      const tested = test === null ? null : await evaluate(network, test, { microBatch, confusion: true });
      writeConfusion(run, tested, classes);
      return {
        ...testFigures(tested, warn),
        // The last record is of the network before the end of its epoch, which may have changed it.
        ...(heldOut === null ? {} : { validationAccuracy: heldOut.top1 }),
      };
    } finally {
      network.dispose();
    }
  }

  describe(course: SearchCourse, run: RunDirectory) {
    const { params, multAdds } = course.size;
    return {
      arch: run.name,
      genotype: genotypeOf(course.architecture),
      parameters: params,
      multiplyAdds: multAdds,
      validationAccuracy: lastValidationAccuracy(run),
      knownAccuracies: course.knownAccuracies,
      exploration: course.explored,
    };
  }
}

/**
 * Searches for an architecture. The run directory holds it as genotype.json and as a drawing; a search that trains the network
 * itself also leaves it as model.safetensors.
 * @throws IstaError CONFIG_*, DATA_*, NETWORK_SHAPE, BUDGET_IMPOSSIBLE, RUN_* and others that name what stopped it
 */
export function runSearch(request: RunRequest<"search">, control: RunControl): Promise<RunResult> {
  return executeRun(new SearchWork(), request, control);
}
