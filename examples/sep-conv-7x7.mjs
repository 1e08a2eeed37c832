// An operation of one's own: separable convolutions of 7x7, as an eighth candidate on every edge of DARTS cells.
//
//   ista-nas search --plugin examples/sep-conv-7x7.mjs --space darts-7x7 --data bundled
import { dartsOperations, dartsSpace, separable } from "ista-nas/spaces";

/** Twice ReLU, depthwise 7x7, pointwise, batch norm. Its layers have a fused kernel, which is found by their pattern. */
const sepConv7x7 = separable("sep_conv_7x7", { kernel: 7, stages: 2 }, { fill: "#f0e442", ink: "#1a1800" });

export const spaces = [
  dartsSpace({
    name: "darts-7x7",
    description: "DARTS cells with separable convolutions of 7x7 among the operations",
    operations: [...dartsOperations, sepConv7x7],
  }),
];
