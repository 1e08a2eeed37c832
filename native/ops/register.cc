// Registers the operators of namespace `ista` with libtorch.
#include "operators.h"

#include <torch/library.h>

namespace ista {
namespace {

Tensor value_or_undefined(const OptionalTensor& tensor) { return tensor.has_value() ? *tensor : Tensor(); }

Tensor node(TensorList inputs, const OptionalTensor& weights, IntArrayRef operations, IntArrayRef strides,
            TensorList convolutions, const OptionalTensors& norms, const OptionalTensors& masks, bool training,
            double momentum, double epsilon) {
  const Tensor node_weights = value_or_undefined(weights);
  check_node(inputs, node_weights, operations, strides, convolutions, norms, masks);
  return composed::node(inputs, node_weights, operations, strides, convolutions, norms, masks,
                        {training, momentum, epsilon});
}

Tensor relu_conv_norm(TensorList inputs, const Tensor& weight, const OptionalTensors& norm, bool training,
                      double momentum, double epsilon) {
  return composed::relu_conv_norm(inputs, weight, norm_at(norm, 0), {training, momentum, epsilon});
}

Tensor factorized_reduce(TensorList inputs, const Tensor& first, const Tensor& second, const OptionalTensors& norm,
                         bool training, double momentum, double epsilon) {
  return composed::factorized_reduce(inputs, first, second, norm_at(norm, 0), {training, momentum, epsilon});
}

Tensor conv_norm(const Tensor& input, const Tensor& weight, const OptionalTensors& norm, int64_t stride,
                 int64_t padding, bool relu_before, bool training, double momentum, double epsilon) {
  return composed::conv_norm(input, weight, norm_at(norm, 0), stride, padding, relu_before,
                             {training, momentum, epsilon});
}

double sgd_step(TensorList parameters, TensorList gradients, TensorList momenta, double learning_rate, double momentum,
                double weight_decay, double max_norm) {
  TORCH_CHECK(parameters.size() == gradients.size() && parameters.size() == momenta.size() && !parameters.empty(),
              "ista::sgd_step: parameters, gradients and momenta must be equally many (at least one), got ",
              parameters.size(), ", ", gradients.size(), ", ", momenta.size());
  return composed::sgd_step(parameters, gradients, momenta, learning_rate, momentum, weight_decay, max_norm);
}

}  // namespace

// No kernel per device: each function chooses between the fused kernel and the composition, and both record what
// autograd needs.
TORCH_LIBRARY(ista, library) {
  library.def(
      "node(Tensor[] inputs, Tensor? weights, int[] operations, int[] strides, Tensor[] convolutions, "
      "Tensor?[] norms, Tensor?[] masks, bool training, float momentum, float eps) -> Tensor",
      &node);
  library.def(
      "relu_conv_norm(Tensor[] inputs, Tensor weight, Tensor?[] norm, bool training, float momentum, float eps) "
      "-> Tensor",
      &relu_conv_norm);
  library.def(
      "factorized_reduce(Tensor[] inputs, Tensor conv_1, Tensor conv_2, Tensor?[] norm, bool training, "
      "float momentum, float eps) -> Tensor",
      &factorized_reduce);
  library.def(
      "conv_norm(Tensor input, Tensor weight, Tensor?[] norm, int stride, int padding, bool relu_before, "
      "bool training, float momentum, float eps) -> Tensor",
      &conv_norm);
  library.def(
      "sgd_step(Tensor(a!)[] parameters, Tensor[] gradients, Tensor(b!)[] momenta, float lr, float momentum, "
      "float weight_decay, float max_norm) -> float",
      &sgd_step);
}

}  // namespace ista
