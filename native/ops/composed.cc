// The operators as compositions of ATen operators: any device, any type, autograd by libtorch. The reference for the fused kernels.
#include "operators.h"

#include <ATen/core/List_inl.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

namespace ista {

Tensor tensor_at(const OptionalTensors& list, int64_t index) {
  const OptionalTensor entry = list.get(index);
  return entry.has_value() ? *entry : Tensor();
}

Norm norm_at(const OptionalTensors& norms, int64_t index) {
  TORCH_CHECK(index + 4 <= static_cast<int64_t>(norms.size()), "norms: a batch norm has 4 entries (gamma, beta, "
              "running_mean, running_var), but the list of ", norms.size(), " ends at entry ", index);
  Norm norm{tensor_at(norms, index), tensor_at(norms, index + 1), tensor_at(norms, index + 2),
            tensor_at(norms, index + 3)};
  TORCH_CHECK(norm.gamma.defined() == norm.beta.defined() && norm.running_mean.defined() == norm.running_var.defined(),
              "norms: gamma comes with beta and running_mean with running_var; entry ", index, " has one of a pair");
  return norm;
}

void check_node(TensorList inputs, const Tensor& weights, IntArrayRef operations, IntArrayRef strides,
                TensorList convolutions, const OptionalTensors& norms, const OptionalTensors& masks) {
  const int64_t count = inputs.size();
  TORCH_CHECK(count > 0, "ista::node: at least one input");
  TORCH_CHECK(static_cast<int64_t>(operations.size()) == count && static_cast<int64_t>(strides.size()) == count &&
                  static_cast<int64_t>(masks.size()) == count,
              "ista::node: inputs, operations, strides and masks must be equally long, got ", count, ", ",
              operations.size(), ", ", strides.size(), ", ", masks.size());
  TORCH_CHECK(!weights.defined() || (weights.dim() == 1 && weights.size(0) == count), "ista::node: weights must have ",
              count, " entries");
  int64_t convolution_total = 0, norm_total = 0;
  for (int64_t k = 0; k < count; ++k) {
    TORCH_CHECK(operations[k] >= 0 && operations[k] < kOperationCount, "ista::node: operation ", operations[k],
                " is not in 0..", kOperationCount - 1);
    TORCH_CHECK(strides[k] == 1 || strides[k] == 2, "ista::node: stride must be 1 or 2, got ", strides[k]);
    TORCH_CHECK(inputs[k].dim() == 4, "ista::node: input ", k, " must be [N, C, H, W], got ", inputs[k].sizes());
    const Tensor mask = tensor_at(masks, k);
    TORCH_CHECK(!mask.defined() || (mask.dim() == 1 && mask.size(0) == inputs[k].size(0)), "ista::node: mask ", k,
                " must have one entry per sample");
    convolution_total += convolution_count(operations[k], strides[k]);
    norm_total += norm_count(operations[k]);
  }
  TORCH_CHECK(static_cast<int64_t>(convolutions.size()) == convolution_total, "ista::node: these operations take ",
              convolution_total, " convolutions, got ", convolutions.size());
  TORCH_CHECK(static_cast<int64_t>(norms.size()) == 4 * norm_total, "ista::node: these operations take ",
              4 * norm_total, " norm entries, got ", norms.size());
}

namespace composed {
namespace {

Tensor apply_norm(const Tensor& input, const Norm& norm, NormSettings settings) {
  if (!norm.exists()) return input;
  TORCH_CHECK(!settings.training || input.numel() > input.size(1),
              "batch norm: training needs more than one value per channel, got ", input.sizes());
  return at::batch_norm(input, norm.gamma, norm.beta, norm.running_mean, norm.running_var, settings.training,
                        settings.momentum, settings.epsilon, /*cudnn_enabled=*/true);
}

Tensor concatenated(TensorList inputs) { return inputs.size() == 1 ? inputs[0] : at::cat(inputs, 1); }

// ReLU, depthwise, pointwise, batch norm.
Tensor relu_depthwise_pointwise_norm(const Tensor& input, const Tensor& depthwise, const Tensor& pointwise,
                                     const Norm& norm, int64_t stride, int64_t dilation, NormSettings settings) {
  const int64_t padding = dilation * (depthwise.size(2) / 2);
  const Tensor filtered = at::conv2d(at::relu(input), depthwise, {}, stride, padding, dilation, input.size(1));
  return apply_norm(at::conv2d(filtered, pointwise), norm, settings);
}

Tensor operation_output(const Tensor& input, int64_t operation, int64_t stride, TensorList convolutions,
                        const Norm& first, const Norm& last, NormSettings settings) {
  if (operation == kMaxPool) return apply_norm(at::max_pool2d(input, 3, stride, 1), last, settings);
  if (operation == kAveragePool) {
    return apply_norm(at::avg_pool2d(input, 3, stride, 1, /*ceil_mode=*/false, /*count_include_pad=*/false), last,
                      settings);
  }
  if (operation == kSkip) {
    if (stride == 1) return apply_norm(input, last, settings);
    return factorized_reduce(input, convolutions[0], convolutions[1], last, settings);
  }
  if (is_dilated(operation)) {
    return relu_depthwise_pointwise_norm(input, convolutions[0], convolutions[1], last, stride, 2, settings);
  }
  const Tensor middle =
      relu_depthwise_pointwise_norm(input, convolutions[0], convolutions[1], first, stride, 1, settings);
  return relu_depthwise_pointwise_norm(middle, convolutions[2], convolutions[3], last, 1, 1, settings);
}

}  // namespace

Tensor node(TensorList inputs, const Tensor& weights, IntArrayRef operations, IntArrayRef strides,
            TensorList convolutions, const OptionalTensors& norms, const OptionalTensors& masks,
            NormSettings settings) {
  Tensor sum;
  int64_t convolution = 0, norm = 0;
  for (size_t k = 0; k < inputs.size(); ++k) {
    const int64_t convolution_number = convolution_count(operations[k], strides[k]);
    const int64_t norm_number = norm_count(operations[k]);
    Tensor term = operation_output(inputs[k], operations[k], strides[k],
                                   convolutions.slice(convolution, convolution_number), norm_at(norms, norm),
                                   norm_at(norms, norm + 4 * (norm_number - 1)), settings);
    convolution += convolution_number;
    norm += 4 * norm_number;
    const Tensor mask = tensor_at(masks, k);
    if (mask.defined()) term = term * mask.to(term.dtype()).view({-1, 1, 1, 1});
    if (weights.defined()) term = term * weights[k];
    sum = sum.defined() ? sum + term : term;
  }
  // A lone identity would be returned as its own input, which an operator must not do.
  return sum.is_same(inputs[0]) ? sum.clone() : sum;
}

Tensor relu_conv_norm(TensorList inputs, const Tensor& weight, const Norm& norm, NormSettings settings) {
  return apply_norm(at::conv2d(at::relu(concatenated(inputs)), weight), norm, settings);
}

Tensor factorized_reduce(TensorList inputs, const Tensor& first, const Tensor& second, const Norm& norm,
                         NormSettings settings) {
  const Tensor active = at::relu(concatenated(inputs));
  const int64_t height = active.size(2), width = active.size(3);
  // The second convolution sees the image shifted by one pixel; an odd side is filled up with zeros so that both
  // halves have the same size (even sides, the usual case, need nothing).
  const Tensor padded = at::constant_pad_nd(active, {0, width % 2, 0, height % 2});
  const Tensor shifted = padded.slice(2, 1).slice(3, 1);
  return apply_norm(at::cat({at::conv2d(active, first, {}, 2), at::conv2d(shifted, second, {}, 2)}, 1), norm, settings);
}

Tensor conv_norm(const Tensor& input, const Tensor& weight, const Norm& norm, int64_t stride, int64_t padding,
                 bool relu_before, NormSettings settings) {
  return apply_norm(at::conv2d(relu_before ? at::relu(input) : input, weight, {}, stride, padding), norm, settings);
}

double sgd_step(TensorList parameters, TensorList gradients, TensorList momenta, double learning_rate, double momentum,
                double weight_decay, double max_norm) {
  at::NoGradGuard no_grad;
  std::vector<Tensor> norms;
  for (const Tensor& gradient : gradients) norms.push_back(at::linalg_vector_norm(gradient, 2));
  const double total = at::linalg_vector_norm(at::stack(norms), 2).item<double>();
  if (!std::isfinite(total)) return total;  // nothing of a diverged step may reach the parameters
  // The small constant is the one of torch.nn.utils.clip_grad_norm_.
  const double scale = max_norm > 0 ? std::min(1.0, max_norm / (total + 1e-6)) : 1.0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor gradient = (gradients[i] * scale).add_(parameters[i], weight_decay);
    momenta[i].mul_(momentum).add_(gradient);
    parameters[i].add_(momenta[i], -learning_rate);
  }
  return total;
}

}  // namespace composed
}  // namespace ista
