// What the fused operators share: acceptance, norms, gradient sums.
#include "fused.h"

#include <ATen/core/List_inl.h>

#include "memory.h"

namespace ista {
namespace fused {

namespace {

bool accepts_one(const Tensor& tensor) {
  return !tensor.defined() ||
         (tensor.device().is_cpu() && tensor.scalar_type() == at::kFloat && tensor.layout() == at::kStrided);
}

Tensor scaled_copy(const double* values, int count, float factor) {
  Tensor result = at::empty({count}, at::kFloat);
  float* to = result.data_ptr<float>();
  for (int i = 0; i < count; ++i) to[i] = static_cast<float>(values[i] * factor);
  return result;
}

}  // namespace

bool accepts(TensorList tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const Tensor& tensor) { return accepts_one(tensor); });
}

bool accepts(const OptionalTensors& tensors) {
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!accepts_one(tensor_at(tensors, i))) return false;
  }
  return true;
}

bool accepts(const Pattern& pattern) {
  const int kernel = pattern.kernel;
  const bool near = pattern.stride <= 2 && pattern.dilation == 1;
  switch (pattern.kind) {
    case Kind::kMaxPool:
    case Kind::kAveragePool: return near && kernel == 3;
    case Kind::kSeparable:
      return pattern.stride <= 2 && pattern.dilation <= 2 && pattern.stages <= 2 && (kernel == 3 || kernel == 5 || kernel == 7);
    case Kind::kDense: return near && (kernel == 1 || kernel == 3);
    default: return true;
  }
}

Tensor empty_images(int64_t images, int64_t channels, int64_t height, int64_t width) {
  const at::TensorOptions options = at::TensorOptions().dtype(at::kFloat);
  const size_t bytes = sizeof(float) * images * channels * height * width;
  if (bytes < kLargeBlock) return at::empty({images, channels, height, width}, options, at::MemoryFormat::ChannelsLast);
  const int64_t row = width * channels;
  void* data = nullptr;
  try {
    data = take_block(bytes);
  } catch (const std::bad_alloc&) {
    TORCH_CHECK(false, "not enough memory: tried to allocate ", bytes, " bytes for ", images, " images of ", channels, " x ", height,
                " x ", width);
  }
  return at::from_blob(data, {images, channels, height, width}, {height * row, 1, row, channels}, give_back_block, options);
}

void check_norm(const Norm& norm, NormSettings settings, int64_t channels, int64_t values) {
  if (!norm.exists()) return;
  for (const Tensor& tensor : {norm.gamma, norm.beta, norm.running_mean, norm.running_var}) {
    TORCH_CHECK(!tensor.defined() || (tensor.numel() == channels && tensor.is_contiguous()), "batch norm: expected ",
                channels, " contiguous values per parameter, got ", tensor.sizes());
  }
  TORCH_CHECK(!settings.training || values > 1, "batch norm: training needs more than one value per channel, got ", values);
}

NormState finish_norm(const Norm& norm, NormSettings settings, BatchMoments* moments, int images, int pixels, int channels) {
  if (!norm.exists()) return {};
  const NormParameters parameters{data_or_null(norm.gamma), data_or_null(norm.beta), norm.running_mean.data_ptr<float>(),
                                  norm.running_var.data_ptr<float>(), channels};
  if (!settings.training) return norm_of_running_statistics(parameters, settings.epsilon);
  norm.running_mean.unsafeGetTensorImpl()->bump_version();
  norm.running_var.unsafeGetTensorImpl()->bump_version();
  return norm_of_batch(*moments, images, pixels, parameters, settings.momentum, settings.epsilon);
}

void GradientSums::finish() {
  const size_t size = 2 * static_cast<size_t>(channels_);
  for (size_t start = size; start < values_.size(); start += size) {
    for (size_t i = 0; i < size; ++i) values_[i] += values_[start + i];
  }
}

Tensor GradientSums::gamma_gradient(float weight) { return scaled_copy(products(0), channels_, weight); }
Tensor GradientSums::beta_gradient(float weight) { return scaled_copy(sums(0), channels_, weight); }

}  // namespace fused
}  // namespace ista
