// Separable convolutions: ReLU, depthwise, pointwise, batch norm, once or several times, dilated or not.
import type { Operation } from "../operation.js";

/**
 * @param stages how often the four layers follow each other; the stride is in the first of them
 */
export function separable(
  name: string,
  { kernel, dilation = 1, stages }: { kernel: number; dilation?: number; stages: number },
  colour: Operation["colour"],
): Operation {
  return {
    name,
    colour,
    build(graph, input, { prefix, stride, norms }) {
      const { channels } = graph.size(input);
      let value = input;
      for (let stage = 0; stage < stages; stage++) {
        // Positions in the sequence of modules: ReLU, depthwise, pointwise, batch norm.
        const name = (position: number): string => `${prefix}.op.${4 * stage + position}`;
        const spatial = graph.convolution(graph.relu(value), name(1), channels, {
          kernel,
          dilation,
          stride: stage === 0 ? stride : 1,
          depthwise: true,
        });
        value = graph.norm(graph.convolution(spatial, name(2), channels), name(3), norms.affine);
      }
      return value;
    },
  };
}
