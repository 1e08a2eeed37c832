// Dilated separable convolution, once.
import { separable } from "./separable.js";

export const dilConv5x5 = separable(
  "dil_conv_5x5",
  { kernel: 5, dilation: 2, stages: 1 },
  { fill: "#cc79a7", ink: "#1f0715" },
);
