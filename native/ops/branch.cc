// The branches of a node over whole batches, image by image.
#include "branch.h"

#include "profile.h"

namespace ista {
namespace fused {
namespace {

// The kernels' weights of a stage of a separable branch, whose input has so many channels.
StageWeights stage_weights(const Branch& branch, TensorList convolutions, int stage, int64_t channels) {
  const Pattern& pattern = branch.pattern;
  const Tensor depthwise = convolutions[2 * stage].contiguous(), pointwise = convolutions[2 * stage + 1].contiguous();
  return StageWeights({pattern.kernel, pattern.dilation, stage == 0 ? pattern.stride : 1}, depthwise.data_ptr<float>(),
                      pointwise.data_ptr<float>(), channels, pointwise.size(0));
}

double stage_flops(const StageWeights& weights, double pixels) {
  return 2.0 * pixels * weights.channels * (weights.filter.kernel * weights.filter.kernel + weights.out_channels);
}

// One stage over the batch; returns its raw output and sets the state of the norm behind it.
Tensor stage_forward(const Branch& branch, const Tensor& input, const NormState& before, const StageWeights& weights,
                     const Norm& norm, NormSettings settings, NormState& state) {
  const int images = input.size(0), height = input.size(2), width = input.size(3), channels = weights.out_channels;
  const int out_height = weights.filter.output_size(height), out_width = weights.filter.output_size(width);
  const int pixels = out_height * out_width;
  check_norm(norm, settings, channels, static_cast<int64_t>(images) * pixels);
  const bool statistics = norm.exists() && settings.training;
  Tensor raw = empty_images(images, channels, out_height, out_width);
  BatchMoments moments(statistics ? images : 0, channels);
  {
    const ProfileScope profile(branch.name, images * stage_flops(weights, pixels), 4.0 * (input.numel() + raw.numel()));
    for_chunks(images, [&](int, int first, int last, Arena& arena) {
      Stage stage(arena, weights, height, width, false);
      ImageSums sums(arena, channels);
      for (int i = first; i < last; ++i) {
        stage.forward(image(input, i), before.affine(), image_to_write(raw, i), statistics ? &sums : nullptr);
        if (statistics) sums.finish(moments.mean(i), moments.square(i));
      }
    });
  }
  state = finish_norm(norm, settings, &moments, images, pixels, channels);
  return raw;
}

struct StageGradients {
  Tensor depthwise, pointwise;
};

// Backward of one stage. input_gradient: undefined if not wanted. sums: of the norm in front of the stage, or null.
StageGradients stage_backward(const Branch& branch, const Tensor& input, const NormState& before, const StageWeights& weights,
                              const Tensor& raw, const Tensor& gradient, bool masked, const RawGradient& coefficients,
                              const Tensor& input_gradient, bool accumulate, bool wants_depthwise, bool wants_pointwise,
                              GradientSums* sums) {
  const int images = input.size(0), height = input.size(2), width = input.size(3);
  PartialSums depthwise_sums(wants_depthwise ? images : 0, weights.depthwise_size());
  PartialSums pointwise_sums(wants_pointwise ? images : 0, weights.pointwise_size());
  {
    const double pointwise_flops = 2.0 * raw.numel() * weights.channels;
    const double flops = images * stage_flops(weights, raw.size(2) * raw.size(3));
    const ProfileScope profile(branch.name,
                               flops * (1 + wants_depthwise) + (wants_pointwise ? flops : wants_depthwise ? -pointwise_flops : 0),
                               4.0 * (raw.numel() * 2 + input.numel() * 2));
    for_chunks(images, [&](int chunk, int first, int last, Arena& arena) {
      Stage stage(arena, weights, height, width, true);
      float* const depthwise = wants_depthwise ? depthwise_sums.start(chunk) : nullptr;
      float* const pointwise = wants_pointwise ? pointwise_sums.start(chunk) : nullptr;
      for (int i = first; i < last; ++i) {
        const StageGradientOfImage task{image(gradient, i),
                                        masked ? branch.mask_of(i) : 1.0f,
                                        image(raw, i),
                                        input_gradient.defined() ? image_to_write(input_gradient, i) : nullptr,
                                        accumulate,
                                        depthwise,
                                        pointwise};
        stage.backward(image(input, i), before.affine(), coefficients, task);
        if (sums == nullptr) continue;
        vector_code().norms.add_gradient_sums(task.input_gradient, weights.channels, image(input, i), weights.channels, height * width,
                                              weights.channels, 1.0f, before.mean.data(), before.inverse_deviation.data(),
                                              sums->sums(chunk), sums->products(chunk));
      }
    });
  }
  StageGradients result;
  if (wants_depthwise) {
    const int64_t kernel = weights.filter.kernel;
    result.depthwise = at::empty({weights.channels, 1, kernel, kernel}, at::kFloat);
    weights.unpack_depthwise(depthwise_sums.total().data(), result.depthwise.data_ptr<float>());
  }
  if (wants_pointwise) {
    result.pointwise = at::empty({weights.out_channels, weights.channels, 1, 1}, at::kFloat);
    weights.unpack_pointwise(pointwise_sums.total().data(), result.pointwise.data_ptr<float>());
  }
  return result;
}

// The gradient tensor that a branch adds to, made if it is not there yet.
bool prepare_input_gradient(const Tensor& input, BranchGradients& wanted) {
  const bool accumulate = wanted.input.defined();
  if (!accumulate) wanted.input = empty_images(input.size(0), input.size(1), input.size(2), input.size(3));
  return accumulate;
}

// Statistics of a pooled image or of the input itself.
void simple_forward(Branch& branch, const Tensor& input, const Norm& norm, NormSettings settings) {
  const int images = input.size(0), channels = branch.out_channels, pixels = branch.out_height * branch.out_width;
  if (!norm.exists() || !settings.training) {
    branch.norm = finish_norm(norm, settings, nullptr, images, pixels, channels);
    return;
  }
  BatchMoments moments(images, channels);
  {
    const ProfileScope profile(branch.name, 12.0 * images * pixels * channels, 4.0 * input.numel());
    for_chunks(images, [&](int, int first, int last, Arena& arena) {
      RawReader reader(arena, branch, input);
      // Counted over whole vectors: the reader's pixels are `pitch` apart.
      ImageSums sums(arena, reader.pitch());
      float* mean = arena.floats(rounded_up(reader.pitch()));
      float* squares = arena.floats(rounded_up(reader.pitch()));
      for (int i = first; i < last; ++i) {
        const float* raw = reader.image(i);
        sums.start(raw);
        sums.add(raw, pixels);
        sums.finish(mean, squares);
        std::copy_n(mean, channels, moments.mean(i));
        std::copy_n(squares, channels, moments.square(i));
      }
    });
  }
  branch.norm = finish_norm(norm, settings, &moments, images, pixels, channels);
}

void simple_backward(const Branch& branch, const Tensor& input, const Tensor& gradient, const RawGradient& coefficients,
                     const Tensor& input_gradient, bool accumulate) {
  const int images = input.size(0), channels = branch.out_channels, pixels = branch.out_height * branch.out_width;
  const int height = input.size(2), width = input.size(3);
  const VectorCode& code = vector_code();
  const bool pooling = branch.pools(), maximum = branch.pattern.kind == Kind::kMaxPool;
  const ProfileScope profile(branch.name, 20.0 * gradient.numel(), 4.0 * (input.numel() * 2 + gradient.numel()));
  for_chunks(images, [&](int, int first, int last, Arena& arena) {
    const int pitch = rounded_up(channels);
    float* differences = arena.floats(static_cast<size_t>(pixels) * pitch);
    float* pooled = pooling ? arena.floats(static_cast<size_t>(pixels) * pitch) : nullptr;
    float* compact = pooling && pitch != channels ? arena.floats(static_cast<size_t>(pixels) * channels) : pooled;
    Pool pool(arena, maximum, branch.pattern.stride, height, width, channels, true);
    for (int i = first; i < last; ++i) {
      const float* raw = image(input, i);
      if (pooling && (maximum || coefficients.uses_raw)) {
        pool.forward(image(input, i), pooled);
        if (compact != pooled) code.pixels.store_pixels(pooled, pitch, pixels, channels, false, compact);
      }
      if (pooling) raw = compact;
      code.norms.raw_gradient(coefficients.coefficients(), branch.mask_of(i), image(gradient, i), raw, pixels, channels, differences,
                              pitch);
      float* out = image_to_write(input_gradient, i);
      if (!pooling) {
        code.pixels.store_pixels(differences, pitch, pixels, channels, accumulate, out);
        continue;
      }
      pool.backward(image(input, i), pooled, differences, accumulate, out);
    }
  });
}

DenseShape dense_shape(const Branch& branch, const Tensor& input, TensorList convolutions) {
  const Pattern& pattern = branch.pattern;
  if (pattern.kind == Kind::kFactorizedReduce) return reduction_shape("ista::node", input, convolutions[0], convolutions[1]);
  return kernel_shape("ista::node", input, convolutions[0], pattern.stride, pattern.padding(), true);
}

// Every output value is a sum over the channels that its taps read.
double flops_of(const DenseShape& shape, const Tensor& output) {
  return 2.0 * output.numel() * shape.input_channels[0] * (shape.tensor_per_tap ? 1 : shape.taps.size());
}

// Kernel: Dense or Direct.
template <class Kernel>
Tensor convolution_forward(const Branch& branch, const DenseShape& shape, const Tensor& input, TensorList convolutions,
                           const Norm& norm, NormSettings settings, NormState& state) {
  const auto weights = pack<typename Kernel::Weights>(shape, convolutions, Pass::kForward);
  const int images = input.size(0), pixels = weights.pixels();
  check_norm(norm, settings, shape.out_channels, static_cast<int64_t>(images) * pixels);
  Tensor raw = empty_images(images, shape.out_channels, shape.out_height, shape.out_width);
  const bool statistics = norm.exists() && settings.training;
  BatchMoments moments(statistics ? images : 0, shape.out_channels);
  {
    const ProfileScope profile(branch.name, flops_of(shape, raw), 4.0 * (input.numel() + raw.numel()));
    for_chunks(images, [&](int, int first, int last, Arena& arena) {
      Kernel kernel(arena, weights, Pass::kForward);
      ImageSums sums(arena, shape.out_channels);
      for (int i = first; i < last; ++i) {
        kernel.forward({image(input, i)}, image_to_write(raw, i), statistics ? &sums : nullptr, {});
        if (statistics) sums.finish(moments.mean(i), moments.square(i));
      }
    });
  }
  state = finish_norm(norm, settings, &moments, images, pixels, shape.out_channels);
  return raw;
}

template <class Kernel>
void convolution_backward(const Branch& branch, const DenseShape& shape, const Tensor& input, TensorList convolutions,
                          const Tensor& gradient, const RawGradient& coefficients, BranchGradients& wanted) {
  const auto weights = pack<typename Kernel::Weights>(shape, convolutions, Pass::kBackward);
  const int images = input.size(0);
  const std::vector<bool>& wants = wanted.wants_convolution;
  const bool any_weight = std::find(wants.begin(), wants.end(), true) != wants.end();
  const bool accumulate = wanted.wants_input && prepare_input_gradient(input, wanted);
  PartialSums sums(any_weight ? images : 0, weights.gradient_size());
  {
    const ProfileScope profile(branch.name, flops_of(shape, gradient) * (any_weight + wanted.wants_input),
                               4.0 * (input.numel() * 2 + gradient.numel() * 2));
    for_chunks(images, [&](int chunk, int first, int last, Arena& arena) {
      Kernel kernel(arena, weights, Pass::kBackward);
      float* const weight_sums = any_weight ? sums.start(chunk) : nullptr;
      for (int i = first; i < last; ++i) {
        const DenseGradientOfImage task{image(gradient, i), image(branch.raw, i),
                                        {wanted.wants_input ? image_to_write(wanted.input, i) : nullptr},
                                        {accumulate},
                                        weight_sums};
        kernel.backward({image(input, i)}, coefficients, branch.mask_of(i), task);
      }
    });
  }
  if (any_weight) wanted.convolutions = unpack(shape, convolutions, sums.total());
}

// Where every pixel has neighbours and none is left out, they are read in place.
bool is_direct(const DenseShape& shape) {
  return shape.stride == 1 && shape.taps.size() > 1 && shape.out_height == shape.height && shape.out_width == shape.width;
}

// The output before the batch norm, and the state of the norm.
Tensor dense_forward(const Branch& branch, const Tensor& input, TensorList convolutions, const Norm& norm, NormSettings settings,
                     NormState& state) {
  const DenseShape shape = dense_shape(branch, input, convolutions);
  return (is_direct(shape) ? convolution_forward<Direct> : convolution_forward<Dense>)(branch, shape, input, convolutions, norm,
                                                                                       settings, state);
}

void dense_backward(const Branch& branch, const Tensor& input, TensorList convolutions, const Tensor& gradient,
                    const RawGradient& coefficients, BranchGradients& wanted) {
  const DenseShape shape = dense_shape(branch, input, convolutions);
  (is_direct(shape) ? convolution_backward<Direct> : convolution_backward<Dense>)(branch, shape, input, convolutions, gradient,
                                                                                  coefficients, wanted);
}

}  // namespace

RawReader::RawReader(Arena& arena, const Branch& branch, const Tensor& input)
    : values_(branch.source() == Source::kTensor ? branch.raw : input), pitch_(branch.out_channels) {
  if (branch.source() != Source::kPool) return;
  pool_.emplace_back(arena, branch.pattern.kind == Kind::kMaxPool, branch.pattern.stride, input.size(2), input.size(3), input.size(1), false);
  pitch_ = pool_[0].pitch();
  pooled_ = arena.floats(static_cast<size_t>(branch.out_height) * branch.out_width * pitch_);
}

const float* RawReader::image(int index) {
  const float* values = fused::image(values_, index);
  if (pool_.empty()) return values;
  pool_[0].forward(values, pooled_);
  return pooled_;
}

void forward(Branch& branch, const Tensor& input, TensorList convolutions, const Norm& first, const Norm& last,
             NormSettings settings) {
  const Pattern& pattern = branch.pattern;
  branch.out_channels = input.size(1);
  branch.out_height = (input.size(2) - 1) / pattern.stride + 1;
  branch.out_width = (input.size(3) - 1) / pattern.stride + 1;
  if (branch.source() != Source::kTensor) {
    check_norm(last, settings, branch.out_channels, input.size(0) * static_cast<int64_t>(branch.out_height) * branch.out_width);
    return simple_forward(branch, input, last, settings);
  }
  if (pattern.kind != Kind::kSeparable) {
    branch.raw = dense_forward(branch, input, convolutions, last, settings, branch.norm);
  } else if (pattern.stages == 1) {
    branch.raw = stage_forward(branch, input, {}, stage_weights(branch, convolutions, 0, input.size(1)), last, settings, branch.norm);
  } else {
    const StageWeights stage = stage_weights(branch, convolutions, 0, input.size(1));
    branch.middle_raw = stage_forward(branch, input, {}, stage, first, settings, branch.middle_norm);
    const StageWeights second = stage_weights(branch, convolutions, 1, stage.out_channels);
    branch.raw = stage_forward(branch, branch.middle_raw, branch.middle_norm, second, last, settings, branch.norm);
  }
  branch.out_channels = branch.raw.size(1);
}

void drop_raw(Branch& branch) {
  if (branch.recomputes()) branch.raw = Tensor();
}

void restore_raw(Branch& branch, const Tensor& input, TensorList convolutions) {
  if (!branch.recomputes() || branch.raw.defined()) return;
  NormState unused;
  if (branch.pattern.kind == Kind::kDense) {
    branch.raw = dense_forward(branch, input, convolutions, Norm{}, {}, unused);
    return;
  }
  const int last = branch.pattern.stages - 1;
  const Tensor& from = last > 0 ? branch.middle_raw : input;
  const StageWeights stage = stage_weights(branch, convolutions, last, from.size(1));
  branch.raw = stage_forward(branch, from, branch.middle_norm, stage, Norm{}, {}, unused);
}

void backward(const Branch& branch, const Tensor& input, TensorList convolutions, const Tensor& gradient,
              const RawGradient& coefficients, BranchGradients& wanted) {
  if (branch.source() != Source::kTensor) {
    if (!wanted.wants_input) return;
    const bool accumulate = prepare_input_gradient(input, wanted);
    return simple_backward(branch, input, gradient, coefficients, wanted.input, accumulate);
  }
  if (branch.pattern.kind != Kind::kSeparable) return dense_backward(branch, input, convolutions, gradient, coefficients, wanted);
  const StageWeights stage = stage_weights(branch, convolutions, 0, input.size(1));
  const std::vector<bool>& wants = wanted.wants_convolution;
  const auto first_stage = [&](const Tensor& raw, const Tensor& by_raw_norm, bool masked, const RawGradient& raw_coefficients) {
    bool accumulate = false;
    if (wanted.wants_input) accumulate = prepare_input_gradient(input, wanted);
    const StageGradients result =
        stage_backward(branch, input, {}, stage, raw, by_raw_norm, masked, raw_coefficients,
                       wanted.wants_input ? wanted.input : Tensor(), accumulate, wants[0], wants[1], nullptr);
    wanted.convolutions[0] = result.depthwise;
    wanted.convolutions[1] = result.pointwise;
  };
  wanted.convolutions.resize(convolutions.size());
  if (branch.pattern.stages == 1) return first_stage(branch.raw, gradient, true, coefficients);

  const Tensor& middle = branch.middle_raw;
  const int images = middle.size(0), channels = middle.size(1);
  const StageWeights second = stage_weights(branch, convolutions, 1, channels);
  const bool wants_first = wanted.wants_input || wants[0] || wants[1];
  const bool wants_middle = wants_first || wanted.wants_middle_norm;
  const Tensor middle_gradient = wants_middle ? empty_images(images, channels, middle.size(2), middle.size(3)) : Tensor();
  GradientSums sums(images, channels);
  const bool wants_sums = wants_middle && branch.middle_norm.exists;
  const StageGradients result =
      stage_backward(branch, middle, branch.middle_norm, second, branch.raw, gradient, true, coefficients, middle_gradient,
                     false, wants[2], wants[3], wants_sums ? &sums : nullptr);
  wanted.convolutions[2] = result.depthwise;
  wanted.convolutions[3] = result.pointwise;
  sums.finish();
  if (wanted.wants_middle_norm) {
    wanted.middle_gamma = sums.gamma_gradient(1.0f);
    wanted.middle_beta = sums.beta_gradient(1.0f);
  }
  if (!wants_first) return;
  const double count = static_cast<double>(middle.numel()) / channels;
  first_stage(middle, middle_gradient, false, raw_gradient(branch.middle_norm, channels, 1.0f, sums.sums(0), sums.products(0), count));
}

}  // namespace fused
}  // namespace ista
