// Separable convolution, twice.
import { separable } from "./separable.js";

export const sepConv5x5 = separable(
  "sep_conv_5x5",
  { kernel: 5, stages: 2 },
  { fill: "#0072b2", ink: "#ffffff" },
);
