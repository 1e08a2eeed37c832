// Registers the operators of namespace `ista` with libtorch.
#include <torch/library.h>

#include "fused.h"
#include "memory.h"
#include "profile.h"

namespace ista {
namespace {

Tensor value_or_undefined(const OptionalTensor& tensor) { return tensor.has_value() ? *tensor : Tensor(); }

Tensor node(TensorList inputs, const OptionalTensor& weights, const c10::List<std::string>& kinds, IntArrayRef settings,
            TensorList convolutions, const OptionalTensors& norms, const OptionalTensors& masks, bool recompute, bool training,
            double momentum, double epsilon) {
  const Tensor node_weights = value_or_undefined(weights);
  const std::vector<Pattern> patterns = make_patterns(kinds, settings);
  check_node(inputs, node_weights, patterns, convolutions, norms, masks);
  const NormSettings norm_settings{training, momentum, epsilon};
  const bool use_fused = fused::accepts(inputs) && fused::accepts(node_weights) && fused::accepts(convolutions) &&
                         fused::accepts(norms) && fused::accepts(masks) &&
                         std::all_of(patterns.begin(), patterns.end(), [](const Pattern& pattern) { return fused::accepts(pattern); });
  return use_fused ? fused::node(inputs, node_weights, patterns, convolutions, norms, masks, recompute, norm_settings)
                   : composed::node(inputs, node_weights, patterns, convolutions, norms, masks, norm_settings);
}

bool node_accepts(const std::string& kind, int64_t kernel, int64_t dilation, int64_t stride, int64_t stages) {
  return fused::accepts(make_pattern(kind, kernel, dilation, stride, stages));
}

Tensor relu_conv_norm(TensorList inputs, const Tensor& weight, const OptionalTensors& norm, bool training,
                      double momentum, double epsilon) {
  const bool use_fused = fused::accepts(inputs) && fused::accepts(weight) && fused::accepts(norm);
  return (use_fused ? fused::relu_conv_norm : composed::relu_conv_norm)(inputs, weight, norm_at(norm, 0),
                                                                        {training, momentum, epsilon});
}

Tensor factorized_reduce(TensorList inputs, const Tensor& first, const Tensor& second, const OptionalTensors& norm,
                         bool training, double momentum, double epsilon) {
  const bool use_fused = fused::accepts(inputs) && fused::accepts(TensorList({first, second})) && fused::accepts(norm);
  return (use_fused ? fused::factorized_reduce : composed::factorized_reduce)(inputs, first, second, norm_at(norm, 0),
                                                                              {training, momentum, epsilon});
}

Tensor conv_norm(const Tensor& input, const Tensor& weight, const OptionalTensors& norm, int64_t stride,
                 int64_t padding, bool relu_before, bool training, double momentum, double epsilon) {
  const bool use_fused = fused::accepts(TensorList({input, weight})) && fused::accepts(norm);
  return (use_fused ? fused::conv_norm : composed::conv_norm)(input, weight, norm_at(norm, 0), stride, padding, relu_before,
                                                              {training, momentum, epsilon});
}

Tensor batch_norm(const Tensor& input, const OptionalTensors& norm, bool training, double momentum, double epsilon) {
  const Norm found = norm_at(norm, 0);
  TORCH_CHECK(found.exists(), "ista::batch_norm: expected running statistics");
  return composed::batch_norm(input, found, {training, momentum, epsilon}, /*cudnn=*/false);
}

double sgd_step(TensorList parameters, TensorList gradients, TensorList momenta, double learning_rate, double momentum,
                double weight_decay, double max_norm, bool nesterov) {
  TORCH_CHECK(parameters.size() == gradients.size() && parameters.size() == momenta.size() && !parameters.empty(),
              "ista::sgd_step: parameters, gradients and momenta must be equally many (at least one), got ",
              parameters.size(), ", ", gradients.size(), ", ", momenta.size());
  bool use_fused = fused::accepts(parameters) && fused::accepts(gradients) && fused::accepts(momenta);
  for (size_t i = 0; i < parameters.size(); ++i) {
    TORCH_CHECK(parameters[i].sizes() == gradients[i].sizes() && parameters[i].sizes() == momenta[i].sizes(),
                "ista::sgd_step: parameter ", i, " is ", parameters[i].sizes(), ", its gradient ", gradients[i].sizes(),
                ", its momentum ", momenta[i].sizes());
    use_fused = use_fused && parameters[i].is_contiguous() && momenta[i].is_contiguous();
  }
  return (use_fused ? fused::sgd_step : composed::sgd_step)(parameters, gradients, momenta, learning_rate, momentum,
                                                            weight_decay, max_norm, nesterov);
}

}  // namespace

// No kernel per device: each function chooses between the fused kernel and the composition, and both record what
// autograd needs.
TORCH_LIBRARY(ista, library) {
  library.def(
      "node(Tensor[] inputs, Tensor? weights, str[] kinds, int[] settings, Tensor[] convolutions, Tensor?[] norms, "
      "Tensor?[] masks, bool recompute, bool training, float momentum, float eps) -> Tensor",
      &node);
  // Whether a node with such a branch is computed by the fused kernels, which are for float32 on a CPU.
  library.def("node_accepts(str kind, int kernel, int dilation, int stride, int stages) -> bool", &node_accepts);
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
  library.def("batch_norm(Tensor input, Tensor?[] norm, bool training, float momentum, float eps) -> Tensor", &batch_norm);
  library.def(
      "sgd_step(Tensor(a!)[] parameters, Tensor[] gradients, Tensor(b!)[] momenta, float lr, float momentum, "
      "float weight_decay, float max_norm, bool nesterov=False) -> float",
      &sgd_step);
  library.def("vector_code() -> str", [] { return std::string(vector_code().name); });
  library.def("vector_codes() -> str[]", [] { return vector_codes(); });
  library.def("tune_allocator() -> ()", &tune_allocator);
  library.def("profile_start() -> ()", &profile_start);
  library.def("profile_report() -> str", &profile_report);
}

}  // namespace ista
