// Fused ReLU - convolution - batch norm (1x1 over concatenated inputs, factorised reduction, stems), with gradients.
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <cmath>

#include "dense_tensors.h"
#include "fused_node.h"
#include "profile.h"

namespace ista {
namespace fused {
namespace {

using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

class DenseBackward : public FusedNode {
 public:
  variable_list apply(variable_list&& gradients) override;
  void release_variables() override {
    FusedNode::release_variables();
    inputs.clear();
    weights.clear();
    raw = Tensor();
    output.reset_data();
  }
  std::string name() const override { return "IstaDenseBackward"; }

  DenseShape shape;
  std::vector<SavedVariable> inputs, weights;
  // The normalised values are taken from the output, ((output - beta) / gamma), so that nothing more need be kept; only where gamma
  // is too small for that, from the values before the norm.
  Tensor raw;
  SavedVariable output;
  NormState norm;
  AlignedFloats beta, inverse_gamma;
  bool affine = false;
};

// Smallest |gamma|, also in relation to |beta|, through which normalised values are still got back with full precision.
constexpr float kSmallestGamma = 0.02f;

bool invertible(const Norm& norm) {
  if (!norm.gamma.defined()) return true;
  const float *gamma = norm.gamma.data_ptr<float>(), *beta = norm.beta.data_ptr<float>();
  for (int64_t i = 0; i < norm.gamma.numel(); ++i) {
    if (!(std::abs(gamma[i]) >= kSmallestGamma * std::max(1.0f, std::abs(beta[i])))) return false;
  }
  return true;
}

variable_list DenseBackward::apply(variable_list&& gradients) {
  TORCH_CHECK(!at::GradMode::is_enabled(), "fused convolution: has no second derivative; use double precision for that");
  const size_t input_count = inputs.size(), weight_count = weights.size();
  variable_list result(num_outputs());
  const Tensor gradient = take_gradient(gradients[0]);
  if (!gradient.defined()) return result;
  const int images = gradient.size(0), channels = gradient.size(1);
  const Tensor seen = raw.defined() ? raw : norm.exists ? output.unpack(shared_from_this()) : gradient;
  const float* mean = raw.defined() ? norm.mean.data() : beta.data();
  const float* inverse_deviation = raw.defined() ? norm.inverse_deviation.data() : inverse_gamma.data();
  std::vector<Tensor> sources;
  for (auto& input : inputs) sources.push_back(channels_last(input.unpack()));
  std::vector<Tensor> kernels;
  for (auto& weight : weights) kernels.push_back(weight.unpack());
  bool any_weight = false;
  for (size_t i = 0; i < weight_count; ++i) any_weight = any_weight || task_should_compute_output(input_count + i);
  const bool norm_gradient = affine && (task_should_compute_output(input_count + weight_count) ||
                                        task_should_compute_output(input_count + weight_count + 1));

  GradientSums sums(images, channels);
  const int pixels = gradient.size(2) * gradient.size(3);
  if (norm.exists && (norm.batch_statistics || norm_gradient)) {
    const ProfileScope profile("dense backward sums", 4.0 * gradient.numel(), 8.0 * gradient.numel());
    for_chunks(images, [&](int chunk, int first, int last, Arena&) {
      for (int i = first; i < last; ++i) {
        vector_code().norms.add_gradient_sums(image(gradient, i), channels, image(seen, i), channels, pixels, channels, 1.0f, mean,
                                              inverse_deviation, sums.sums(chunk), sums.products(chunk));
      }
    });
    sums.finish();
  }
  RawGradient coefficients = raw_gradient(norm, channels, 1.0f, sums.sums(0), sums.products(0),
                                          static_cast<double>(images) * pixels);
  if (!raw.defined() && coefficients.uses_raw) {
    // output - beta = scale * (raw - mean).
    for (int i = 0; i < channels; ++i) {
      coefficients.mean[i] = beta[i];
      coefficients.b[i] /= norm.scale[i];
    }
  }

  const auto packed = pack<DenseWeights>(shape, kernels, Pass::kBackward);
  std::vector<Tensor> input_gradients(input_count);
  std::vector<bool> accumulate(input_count);
  bool any_input = false;
  for (size_t i = 0; i < input_count; ++i) {
    if (!task_should_compute_output(i)) continue;
    any_input = true;
    input_gradients[i] = input_gradient(i, result);
    accumulate[i] = input_gradients[i].defined();
    if (!accumulate[i]) input_gradients[i] = empty_images(images, sources[i].size(1), sources[i].size(2), sources[i].size(3));
    set_input_gradient(i, input_gradients[i], result);
  }
  if (any_input || any_weight) {
    PartialSums weight_sums(any_weight ? images : 0, packed.gradient_size());
    const ProfileScope profile("dense backward",
                               2.0 * images * packed.pixels() * packed.depth() * channels * (any_input + any_weight),
                               4.0 * images * (image_size(gradient) * 2 + packed.pixels() * packed.depth() * (1 + any_input)));
    for_chunks(images, [&](int chunk, int first, int last, Arena& arena) {
      Dense dense(arena, packed, Pass::kBackward);
      std::vector<const float*> from(input_count);
      DenseGradientOfImage task;
      task.input_gradients.resize(input_count);
      task.accumulate = accumulate;
      task.weight_sums = any_weight ? weight_sums.start(chunk) : nullptr;
      for (int i = first; i < last; ++i) {
        for (size_t k = 0; k < input_count; ++k) {
          from[k] = image(sources[k], i);
          task.input_gradients[k] = input_gradients[k].defined() ? image_to_write(input_gradients[k], i) : nullptr;
        }
        task.gradient = image(gradient, i);
        task.raw = image(seen, i);
        dense.backward(from, coefficients, 1.0f, task);
      }
    });
    if (any_weight) {
      const std::vector<Tensor> weight_gradients = unpack(shape, kernels, weight_sums.total());
      for (size_t i = 0; i < weight_count; ++i) {
        if (task_should_compute_output(input_count + i)) result[input_count + i] = weight_gradients[i];
      }
    }
  }
  if (norm_gradient) {
    result[input_count + weight_count] = sums.gamma_gradient(1.0f);
    result[input_count + weight_count + 1] = sums.beta_gradient(1.0f);
  }
  return result;
}

Tensor dense_operator(const DenseShape& shape, TensorList inputs, TensorList weights, const Norm& norm,
                      NormSettings settings) {
  const int images = inputs[0].size(0), channels = shape.out_channels;
  const int pixels = shape.out_height * shape.out_width;
  check_norm(norm, settings, channels, static_cast<int64_t>(images) * pixels);
  bool differentiable = false;
  for (TensorList list : {inputs, weights}) {
    for (const Tensor& tensor : list) differentiable = differentiable || tensor.requires_grad();
  }
  const bool affine = norm.exists() && norm.gamma.defined();
  differentiable = at::GradMode::is_enabled() && (differentiable || (affine && (norm.gamma.requires_grad() || norm.beta.requires_grad())));

  Tensor output, raw;
  NormState state;
  {
    at::NoGradGuard no_grad;
    std::vector<Tensor> sources;
    for (const Tensor& input : inputs) sources.push_back(channels_last(input));
    const auto packed = pack<DenseWeights>(shape, weights, Pass::kForward);
    const bool statistics = norm.exists() && settings.training;
    if (!statistics) state = finish_norm(norm, settings, nullptr, images, pixels, channels);
    // Without statistics to wait for, and nothing to keep for the gradient, the norm is applied at once.
    const bool keep_raw = differentiable && norm.exists() && !invertible(norm);
    const bool at_once = norm.exists() && !statistics && !keep_raw;
    raw = empty_images(images, channels, shape.out_height, shape.out_width);
    BatchMoments moments(statistics ? images : 0, channels);
    {
      const ProfileScope profile("dense forward", 2.0 * images * pixels * packed.depth() * channels,
                                 4.0 * images * pixels * (packed.depth() + channels));
      for_chunks(images, [&](int, int first, int last, Arena& arena) {
        Dense dense(arena, packed, Pass::kForward);
        ImageSums sums(arena, channels);
        std::vector<const float*> from(sources.size());
        for (int i = first; i < last; ++i) {
          for (size_t k = 0; k < sources.size(); ++k) from[k] = image(sources[k], i);
          dense.forward(from, image_to_write(raw, i), statistics ? &sums : nullptr, at_once ? state.affine() : Affine{});
          if (statistics) sums.finish(moments.mean(i), moments.square(i));
        }
      });
    }
    if (statistics) state = finish_norm(norm, settings, &moments, images, pixels, channels);
    output = raw;
    if (norm.exists() && !at_once) {
      if (keep_raw) output = empty_images(images, channels, shape.out_height, shape.out_width);
      const ProfileScope profile("dense normalise", 2.0 * raw.numel(), 8.0 * raw.numel());
      for_chunks(images, [&](int, int first, int last, Arena&) {
        vector_code().pixels.add_normalised(image(raw, first), channels, state.affine(), 1.0f, (last - first) * pixels, channels, false,
                                            image_to_write(output, first));
      });
    }
  }
  if (!differentiable) return output;
  auto backward = std::make_shared<DenseBackward>();
  backward->shape = shape;
  variable_list edges;
  for (const Tensor& input : inputs) {
    edges.push_back(input);
    backward->inputs.emplace_back(input, false);
  }
  for (const Tensor& weight : weights) {
    edges.push_back(weight);
    backward->weights.emplace_back(weight, false);
  }
  if (affine) {
    edges.push_back(norm.gamma);
    edges.push_back(norm.beta);
  }
  backward->affine = affine;
  backward->norm = std::move(state);
  backward->set_next_edges(torch::autograd::collect_next_edges(edges));
  torch::autograd::set_history(output, backward);
  if (!norm.exists()) return output;
  if (!output.is_same(raw)) {
    backward->raw = raw;
    return output;
  }
  backward->output = SavedVariable(output, true);
  backward->beta = AlignedFloats(rounded_up(channels));
  backward->inverse_gamma = AlignedFloats(rounded_up(channels));
  for (int i = 0; i < channels; ++i) {
    backward->beta[i] = affine ? norm.beta.data_ptr<float>()[i] : 0.0f;
    backward->inverse_gamma[i] = affine ? 1.0f / norm.gamma.data_ptr<float>()[i] : 1.0f;
  }
  return output;
}

}  // namespace

Tensor relu_conv_norm(TensorList inputs, const Tensor& weight, const Norm& norm, NormSettings settings) {
  return dense_operator(kernel_shape("ista::relu_conv_norm", inputs, weight, 1, 0, true), inputs, weight, norm, settings);
}

Tensor conv_norm(const Tensor& input, const Tensor& weight, const Norm& norm, int64_t stride, int64_t padding,
                 bool relu_before, NormSettings settings) {
  return dense_operator(kernel_shape("ista::conv_norm", input, weight, stride, padding, relu_before), input, weight, norm,
                        settings);
}

Tensor factorized_reduce(TensorList inputs, const Tensor& first, const Tensor& second, const Norm& norm,
                         NormSettings settings) {
  return dense_operator(reduction_shape("ista::factorized_reduce", inputs, first, second), inputs, {first, second}, norm,
                        settings);
}

}  // namespace fused
}  // namespace ista
