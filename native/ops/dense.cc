// Dense convolutions: gather a strip of pixels, multiply; backward multiplies and scatters.
#include "dense.h"

#include <algorithm>

namespace ista {

namespace {
// Floats of a strip of gathered pixels, and the fewest pixels worth a product.
constexpr int kStripFloats = 6144, kFewestPixels = 24;
}  // namespace

void DenseWeights::set_matrix(const std::vector<float>& matrix) {
  const int depth = static_cast<int>(matrix.size()) / out_channels;
  forward = PackedMatrix(matrix.data(), depth, out_channels, out_channels, 1);
  back = PackedMatrix(matrix.data(), out_channels, depth, 1, out_channels);
}

Dense::Dense(Arena& arena, const DenseWeights& weights)
    : weights_(weights),
      // One vector more than needed: sources are written with whole vectors, each over the end of the one before.
      pitch_(rounded_up(weights.depth()) + kLanes),
      out_pitch_(rounded_up(weights.out_channels)),
      strip_(std::min(weights.pixels(), std::max(kFewestPixels, kStripFloats / pitch_ / 12 * 12))),
      overlapping_(weights.taps.size() > 1 || weights.stride > 1) {
  columns_ = arena.zeros(static_cast<size_t>(strip_) * pitch_);
  raw_gradient_ = arena.floats(static_cast<size_t>(strip_) * out_pitch_);
}

int Dense::source(Tap tap, int pixel) const {
  const int y = pixel / weights_.out_width * weights_.stride + tap.dy;
  const int x = pixel % weights_.out_width * weights_.stride + tap.dx;
  const bool inside = y >= 0 && y < weights_.height && x >= 0 && x < weights_.width;
  return inside ? y * weights_.width + x : -1;
}

void Dense::gather(const std::vector<const float*>& images, int first_pixel, int pixels) {
  // relu(x) = max(floor, x) with the floor at 0, or below everything.
  const Vector floor = splat(weights_.relu ? 0.0f : -__builtin_inff());
  for (int p = 0; p < pixels; ++p) {
    float* to = columns_ + static_cast<ptrdiff_t>(p) * pitch_;
    for (const Tap tap : weights_.taps) {
      const int at = overlapping_ ? source(tap, first_pixel + p) : first_pixel + p;
      for (size_t i = 0; i < images.size(); ++i) {
        const int channels = weights_.input_channels[i];
        if (at < 0) {
          for (int channel = 0; channel < channels; channel += kLanes) store(to + channel, Vector{});
        } else {
          const float* from = images[i] + static_cast<ptrdiff_t>(at) * channels;
          int channel = 0;
          for (; channel + kLanes <= channels; channel += kLanes) {
            store(to + channel, maximum(floor, load(from + channel)));
          }
          if (channel < channels) store(to + channel, maximum(floor, load_first(from + channel, channels - channel)));
        }
        to += channels;
      }
    }
  }
}

void Dense::forward(const std::vector<const float*>& images, float* out, ImageSums* sums, Affine after) {
  const int out_channels = weights_.out_channels, total = weights_.pixels();
  for (int first = 0; first < total; first += strip_) {
    const int pixels = std::min(strip_, total - first);
    float* strip = out + static_cast<ptrdiff_t>(first) * out_channels;
    gather(images, first, pixels);
    multiply(columns_, pixels, pitch_, weights_.forward, strip, {total, out_channels, total * out_channels}, out_channels);
    if (sums != nullptr) {
      if (first == 0) sums->start(strip);
      sums->add(strip, pixels);
    }
    if (after.scale != nullptr) add_normalised(strip, out_channels, after, 1.0f, pixels, out_channels, false, strip);
  }
}

void Dense::scatter(const std::vector<const float*>& images, int first_pixel, int pixels, const std::vector<float*>& out) {
  for (int p = 0; p < pixels; ++p) {
    const float* from = columns_ + static_cast<ptrdiff_t>(p) * pitch_;
    for (const Tap tap : weights_.taps) {
      const int at = overlapping_ ? source(tap, first_pixel + p) : first_pixel + p;
      for (size_t i = 0; i < images.size(); ++i) {
        const int channels = weights_.input_channels[i];
        if (at >= 0 && out[i] != nullptr) {
          const float* image = images[i] + static_cast<ptrdiff_t>(at) * channels;
          float* to = out[i] + static_cast<ptrdiff_t>(at) * channels;
          for (int channel = 0; channel < channels; channel += kLanes) {
            const int left = channels - channel;
            Vector value = load(from + channel);
            if (weights_.relu) value = load_channels(image + channel, left) > Vector{} ? value : Vector{};
            if (overlapping_) value += load_channels(to + channel, left);
            store_channels(to + channel, value, left);
          }
        }
        from += channels;
      }
    }
  }
}

void Dense::backward(const std::vector<const float*>& images, const RawGradient& coefficients, float mask,
                     const DenseGradientOfImage& task) {
  const int out_channels = weights_.out_channels, total = weights_.pixels();
  bool any_input = false;
  for (size_t i = 0; i < images.size(); ++i) {
    if (task.input_gradients[i] == nullptr) continue;
    any_input = true;
    const size_t size = static_cast<size_t>(weights_.height) * weights_.width * weights_.input_channels[i];
    if (overlapping_) std::fill_n(task.input_gradients[i], size, 0.0f);
  }
  for (int first = 0; first < total; first += strip_) {
    const int pixels = std::min(strip_, total - first);
    const ptrdiff_t offset = static_cast<ptrdiff_t>(first) * out_channels;
    raw_gradient_pixels(coefficients, mask, task.gradient + offset, task.raw + offset, pixels, out_channels,
                        raw_gradient_, out_pitch_);
    if (task.weight_sums != nullptr) {
      gather(images, first, pixels);
      add_outer_products(columns_, pitch_, weights_.depth(), raw_gradient_, out_pitch_, out_pitch_, pixels,
                         task.weight_sums);
    }
    if (!any_input) continue;
    multiply(raw_gradient_, pixels, out_pitch_, weights_.back, columns_, {total, pitch_, total * pitch_}, rounded_up(weights_.depth()));
    scatter(images, first, pixels, task.input_gradients);
  }
}

}  // namespace ista
