// PC-DARTS (Xu et al. 2020): the search of DARTS on one channel in K, with weights of predecessors (section 3), after some epochs
// in which only the network learns (section 4.2).
import { DenseSearch } from "../darts/search.js";
import type { SearchContext } from "../method.js";
import type { PcDartsOptions } from "./options.js";

export class PcDartsSearch extends DenseSearch<PcDartsOptions> {
  /** @throws IstaError NETWORK_SHAPE */
  constructor(context: SearchContext) {
    super(context, (context.config as unknown as PcDartsOptions).partialChannels);
  }

  protected override get restEpochs(): number {
    return this.config.restEpochs;
  }
}
