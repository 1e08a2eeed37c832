// Dense convolutions as tensors: shapes and the way of weights into the kernels' layout and of their gradients back.
#pragma once

#include "dense.h"
#include "fused.h"

namespace ista {
namespace fused {

// Checks the tensors against each other; `name` is the operator's, for the message.
DenseShape kernel_shape(const char* name, TensorList inputs, const Tensor& weight, int64_t stride, int64_t padding, bool relu);
DenseShape reduction_shape(const char* name, TensorList inputs, const Tensor& first, const Tensor& second);

DenseWeights pack(const DenseShape& shape, TensorList weights);
// Gradients of the weight tensors from the sum over all images.
std::vector<Tensor> unpack(const DenseShape& shape, TensorList weights, const AlignedFloats& sums, const DenseWeights& packed);

}  // namespace fused
}  // namespace ista
