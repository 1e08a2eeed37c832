// Shapes of the published networks, for tests.

import type { NetworkShape } from "../../src/space/space.js";

export const cifarShape: NetworkShape = {
  cells: 20,
  channels: 36,
  inputChannels: 3,
  classes: 10,
  imageHeight: 32,
  imageWidth: 32,
  stem: "cifar",
  auxiliary: true,
};

export const imagenetShape: NetworkShape = {
  cells: 14,
  channels: 48,
  inputChannels: 3,
  classes: 1000,
  imageHeight: 224,
  imageWidth: 224,
  stem: "imagenet",
  auxiliary: true,
};
