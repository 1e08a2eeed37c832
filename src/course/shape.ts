// The size of a run's network, from its configuration and its data.
import type { SearchConfig, TrainConfig } from "../config/config.js";
import type { NetworkShape } from "../space/space.js";
import type { Sources } from "./sources.js";

/** @throws IstaError NETWORK_SHAPE where the network is planned, not here */
export function networkShape(config: SearchConfig | TrainConfig, sources: Sources): NetworkShape {
  return {
    cells: config.cells,
    channels: config.channels,
    inputChannels: sources.channels,
    classes: sources.classes.length,
    imageHeight: sources.height,
    imageWidth: sources.width,
    stem: config.stem,
    auxiliary: config.auxiliaryWeight > 0,
  };
}
