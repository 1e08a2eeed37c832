// The operations of the built-in spaces, for spaces that are made of some of them.
export { dilConv3x3 } from "./dil-conv-3x3.js";
export { dilConv5x5 } from "./dil-conv-5x5.js";
export { none } from "./none.js";
export { norConv1x1, norConv3x3 } from "./nor-conv.js";
export { averagePool3x3, maxPool3x3 } from "./pool.js";
export { sepConv3x3 } from "./sep-conv-3x3.js";
export { sepConv5x5 } from "./sep-conv-5x5.js";
export { separable } from "./separable.js";
export { skipConnect } from "./skip-connect.js";
