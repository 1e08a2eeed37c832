// Separable convolution stages: strips of rows small enough for the first-level cache go from the depthwise filter to the pointwise product.
#include "separable.h"

#include <algorithm>

namespace ista {

namespace {
// Floats of a strip: a quarter to a half of a usual first-level cache.
constexpr int kStripFloats = 4096;
}  // namespace

StageWeights::StageWeights(Filter filter, const float* depthwise_values, const float* pointwise_values, int channels,
                           int out_channels)
    : filter(filter),
      channels(channels),
      out_channels(out_channels),
      depthwise(static_cast<size_t>(filter.kernel) * filter.kernel * rounded_up(channels)),
      turned(depthwise.size()),
      pointwise(pointwise_values, channels, out_channels, 1, channels),
      pointwise_back(pointwise_values, out_channels, channels, channels, 1) {
  const int taps = filter.kernel * filter.kernel, pitch = rounded_up(channels);
  for (int tap = 0; tap < taps; ++tap) {
    for (int channel = 0; channel < channels; ++channel) {
      const float value = depthwise_values[channel * taps + tap];
      depthwise[tap * pitch + channel] = value;
      turned[(taps - 1 - tap) * pitch + channel] = value;
    }
  }
}

void StageWeights::unpack_depthwise(const float* sums, float* gradient) const {
  const int taps = filter.kernel * filter.kernel, pitch = rounded_up(channels);
  for (int channel = 0; channel < channels; ++channel) {
    for (int tap = 0; tap < taps; ++tap) gradient[channel * taps + tap] = sums[tap * pitch + channel];
  }
}

void StageWeights::unpack_pointwise(const float* sums, float* gradient) const {
  const int pitch = rounded_up(out_channels);
  for (int out = 0; out < out_channels; ++out) {
    for (int channel = 0; channel < channels; ++channel) gradient[out * channels + channel] = sums[channel * pitch + out];
  }
}

Stage::Stage(Arena& arena, const StageWeights& weights, int height, int width, bool backward)
    : code_(vector_code()),
      weights_(weights),
      height_(height),
      width_(width),
      out_height_(weights.filter.output_size(height)),
      out_width_(weights.filter.output_size(width)),
      pitch_(rounded_up(weights.channels)),
      out_pitch_(rounded_up(weights.out_channels)) {
  const int padding = weights.filter.padding();
  strip_rows_ = std::clamp(kStripFloats / (out_width_ * pitch_), 1, out_height_);
  active_ = plane_in(arena, height, width, padding, pitch_);
  filtered_ = arena.floats(static_cast<size_t>(strip_rows_) * out_width_ * pitch_);
  if (!backward) return;
  spread_ = plane_in(arena, height, width, padding, pitch_);
  // Between the spread-out gradients of a strided filter there are zeros, which stay.
  if (weights.filter.stride > 1) std::fill_n(spread_.data, static_cast<size_t>(height) * spread_.row_pitch(), 0.0f);
  raw_gradient_ = arena.floats(static_cast<size_t>(strip_rows_) * out_width_ * out_pitch_);
  row_ = arena.floats(static_cast<size_t>(width) * pitch_);
  zero_row_ = arena.zeros(active_.row_pitch());
}

void Stage::fill_for_outputs(int out_rows, const float* image, Affine before, int& filled) {
  const Filter filter = weights_.filter;
  const int needed = out_rows == out_height_ ? height_ : std::min(height_, (out_rows - 1) * filter.stride + filter.padding() + 1);
  if (needed > filled) code_.pixels.fill_relu(active_, filled, needed, image, weights_.channels, before);
  filled = std::max(filled, needed);
}

void Stage::forward(const float* image, Affine before, float* out, ImageSums* sums) {
  const int out_channels = weights_.out_channels;
  int filled = 0;
  for (int first = 0; first < out_height_; first += strip_rows_) {
    const int rows = std::min(strip_rows_, out_height_ - first), pixels = rows * out_width_;
    fill_for_outputs(first + rows, image, before, filled);
    for (int y = 0; y < rows; ++y) {
      code_.depthwise.row(weights_.filter, active_, weights_.depthwise.data(), first + y, filtered_ + y * out_width_ * pitch_,
                          out_width_);
    }
    float* strip = out + static_cast<ptrdiff_t>(first) * out_width_ * out_channels;
    multiply(filtered_, pixels, pitch_, weights_.pointwise.packed(),
             {strip, {out_width_, out_channels, out_width_ * out_channels}, out_channels});
    if (sums == nullptr) continue;
    if (first == 0) sums->start(strip);
    sums->add(strip, pixels);
  }
}

void Stage::backward(const float* image, Affine before, const RawGradient& coefficients,
                     const StageGradientOfImage& task) {
  const Filter filter = weights_.filter;
  const int out_channels = weights_.out_channels;
  const bool wants_weights = task.depthwise_sums != nullptr || task.pointwise_sums != nullptr;
  int filled = 0;
  for (int first = 0; first < out_height_; first += strip_rows_) {
    const int rows = std::min(strip_rows_, out_height_ - first), pixels = rows * out_width_;
    if (wants_weights) fill_for_outputs(first + rows, image, before, filled);
    const ptrdiff_t offset = static_cast<ptrdiff_t>(first) * out_width_ * out_channels;
    code_.norms.raw_gradient(coefficients.coefficients(), task.mask, task.gradient + offset, task.raw + offset, pixels, out_channels,
                             raw_gradient_, out_pitch_);
    if (task.pointwise_sums != nullptr) {
      for (int y = 0; y < rows; ++y) {
        code_.depthwise.row(filter, active_, weights_.depthwise.data(), first + y, filtered_ + y * out_width_ * pitch_, out_width_);
      }
      code_.products.add_outer_products({filtered_, pitch_, weights_.channels}, false, raw_gradient_, out_pitch_, out_pitch_,
                                        {1, pixels}, task.pointwise_sums);
    }
    multiply(raw_gradient_, pixels, out_pitch_, weights_.pointwise_back.packed(),
             {spread_.row(first * filter.stride), {out_width_, filter.stride * pitch_, filter.stride * spread_.row_pitch()}, pitch_});
  }
  if (task.depthwise_sums != nullptr) {
    code_.depthwise.add_weight_gradient(filter, active_, spread_, zero_row_, task.depthwise_sums);
  }
  if (task.input_gradient == nullptr) return;
  for (int y = 0; y < height_; ++y) {
    code_.depthwise.gradient_row(filter, spread_, weights_.turned.data(), y, row_);
    const ptrdiff_t offset = static_cast<ptrdiff_t>(y) * width_ * weights_.channels;
    code_.pixels.store_relu_gradient(row_, pitch_, image + offset, before, width_, weights_.channels, task.accumulate,
                                     task.input_gradient + offset);
  }
}

}  // namespace ista
