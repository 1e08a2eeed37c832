// Dilated separable convolution, once.
import { separable } from "./separable.js";

export const dilConv3x3 = separable(
  "dil_conv_3x3",
  { kernel: 3, dilation: 2, stages: 1 },
  { fill: "#009e73", ink: "#00140e" },
);
