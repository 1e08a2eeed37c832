// Dense convolutions as tensors: shapes and the way of weights into the kernels' layout and of their gradients back.
#pragma once

#include "dense.h"
#include "fused.h"

namespace ista {
namespace fused {

// Checks the tensors against each other; `name` is the operator's, for the message.
DenseShape kernel_shape(const char* name, TensorList inputs, const Tensor& weight, int64_t stride, int64_t padding, bool relu);
DenseShape reduction_shape(const char* name, TensorList inputs, const Tensor& first, const Tensor& second);

// The weights as one matrix: [tap, input, channel][out channel].
std::vector<float> weight_matrix(const DenseShape& shape, TensorList weights);
// As DenseWeights or DirectWeights.
template <class Weights>
Weights pack(const DenseShape& shape, TensorList weights, Pass pass) {
  Weights packed{shape, {}, {}};
  packed.set_matrix(weight_matrix(shape, weights), pass);
  return packed;
}
// Gradients of the weight tensors from the sum over all images.
std::vector<Tensor> unpack(const DenseShape& shape, TensorList weights, const AlignedFloats& sums);

}  // namespace fused
}  // namespace ista
