// ReLU, convolution without bias, batch norm (Dong and Yang 2020).
import type { Operation } from "../operation.js";

const normalConvolution = (name: string, kernel: number, colour: Operation["colour"]): Operation => ({
  name,
  colour,
  build: (graph, input, { prefix, stride, norms }) =>
    graph.reluConvNorm(input, prefix, graph.size(input).channels, norms.affine, { kernel, stride }),
});

export const norConv1x1 = normalConvolution("nor_conv_1x1", 1, { fill: "#56b4e9", ink: "#04121c" });
export const norConv3x3 = normalConvolution("nor_conv_3x3", 3, { fill: "#0072b2", ink: "#ffffff" });
