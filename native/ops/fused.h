// The fused operators (float32 on CPU) with hand-written gradients, and what their implementations share.
#pragma once

#include <vector>

#include "norm.h"
#include "operators.h"
#include "parallel.h"

namespace ista {
namespace fused {

// Whether all of the tensors that are defined are float32 in CPU memory.
bool accepts(TensorList tensors);
bool accepts(const OptionalTensors& tensors);
// Whether there are kernels for the pattern.
bool accepts(const Pattern& pattern);

// recompute: see drop_raw in branch.h.
Tensor node(TensorList inputs, const Tensor& weights, const std::vector<Pattern>& patterns, TensorList convolutions,
            const OptionalTensors& norms, const OptionalTensors& masks, bool recompute, NormSettings settings);
Tensor relu_conv_norm(TensorList inputs, const Tensor& weight, const Norm& norm, NormSettings settings);
Tensor factorized_reduce(TensorList inputs, const Tensor& first, const Tensor& second, const Norm& norm,
                         NormSettings settings);
Tensor conv_norm(const Tensor& input, const Tensor& weight, const Norm& norm, int64_t stride, int64_t padding,
                 bool relu_before, NormSettings settings);
double sgd_step(TensorList parameters, TensorList gradients, TensorList momenta, double learning_rate, double momentum,
                double weight_decay, double max_norm, bool nesterov);

// --- shared by the implementations ---

// The images of a batch: logically [N, C, H, W], in memory one image after the other, channels innermost.
inline Tensor channels_last(const Tensor& tensor) { return tensor.contiguous(at::MemoryFormat::ChannelsLast); }
Tensor empty_images(int64_t images, int64_t channels, int64_t height, int64_t width);
inline size_t image_size(const Tensor& tensor) { return tensor.size(1) * tensor.size(2) * tensor.size(3); }
inline const float* image(const Tensor& tensor, int index) { return tensor.data_ptr<float>() + index * image_size(tensor); }
inline const float* data_or_null(const Tensor& tensor) { return tensor.defined() ? tensor.data_ptr<float>() : nullptr; }
inline float* image_to_write(const Tensor& tensor, int index) {
  return tensor.data_ptr<float>() + index * image_size(tensor);
}

// Statistics of a norm over `channels` channels: from the batch's moments, which exist when training, or the running ones.
NormState finish_norm(const Norm& norm, NormSettings settings, BatchMoments* moments, int images, int pixels, int channels);
void check_norm(const Norm& norm, NormSettings settings, int64_t channels, int64_t values);

// Sums of gradients (and of gradients times normalised values) per channel, gathered chunk by chunk.
class GradientSums {
 public:
  GradientSums(int images, int channels)
      : channels_(channels), values_(static_cast<size_t>(Chunks(images).count) * 2 * channels) {}
  double* sums(int chunk) { return values_.data() + static_cast<size_t>(chunk) * 2 * channels_; }
  double* products(int chunk) { return sums(chunk) + channels_; }
  // Adds all chunks to the first, whose sums are then the totals.
  void finish();
  // Gradients by gamma and beta of a norm behind which the factor `weight` stands.
  Tensor gamma_gradient(float weight);
  Tensor beta_gradient(float weight);

 private:
  int channels_;
  std::vector<double> values_;
};

}  // namespace fused
}  // namespace ista
