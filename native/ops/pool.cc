// 3 x 3 pooling: down the columns first, then along the row.
#include "pool.h"

#include <algorithm>
#include <limits>

namespace ista {

Pool::Pool(Arena& arena, bool maximum, int stride, int height, int width, int channels)
    : maximum_(maximum),
      stride_(stride),
      height_(height),
      width_(width),
      out_height_((height - 1) / stride + 1),
      out_width_((width - 1) / stride + 1),
      channels_(channels),
      pitch_(rounded_up(channels)) {
  image_ = Plane::in(arena, height, width, 1, pitch_);
  gradient_ = Plane::in(arena, height, width, 1, pitch_);
  row_ = arena.floats(static_cast<size_t>(width + 2) * pitch_);
  if (!maximum) return;
  // Padding that never wins.
  std::fill_n(image_.data, static_cast<size_t>(height) * image_.row_pitch(), -std::numeric_limits<float>::infinity());
}

// One over the number of pixels under the window.
Vector Pool::share(int y, int x) const {
  static constexpr float kInverse[10] = {0, 1, 1.0f / 2, 1.0f / 3, 1.0f / 4, 0, 1.0f / 6, 0, 0, 1.0f / 9};
  const auto inside = [this](int at, int size) { return std::min(size, at * stride_ + 2) - std::max(0, at * stride_ - 1); };
  return splat(kInverse[inside(y, height_) * inside(x, width_)]);
}

void Pool::forward_row(const float* image, int y, float* out) {
  const int top = std::max(0, y * stride_ - 1), bottom = std::min(height_, y * stride_ + 2);
  const Vector outside = maximum_ ? splat(-std::numeric_limits<float>::infinity()) : Vector{};
  const ptrdiff_t row_size = static_cast<ptrdiff_t>(width_) * channels_;
  for (int channel = 0; channel < channels_; channel += kLanes) {
    const int left = channels_ - channel;
    float* column = row_ + channel;
    store(column, outside);
    store(column + (width_ + 1) * pitch_, outside);
    const float* from = image + top * row_size + channel;
    for (int x = 0; x < width_; ++x, from += channels_) {
      Vector value = load_channels(from, left);
      for (int y_in = 1; y_in < bottom - top; ++y_in) {
        const Vector below = load_channels(from + y_in * row_size, left);
        value = maximum_ ? maximum(value, below) : value + below;
      }
      store(column + (x + 1) * pitch_, value);
    }
    for (int x = 0; x < out_width_; ++x) {
      const float* window = column + x * stride_ * pitch_;
      const Vector a = load(window), b = load(window + pitch_);
      const Vector c = load(window + 2 * pitch_);
      store(out + x * pitch_ + channel, maximum_ ? maximum(maximum(a, b), c) : (a + b + c) * share(y, x));
    }
  }
}

void Pool::forward(const float* image, float* out) {
  for (int y = 0; y < out_height_; ++y) forward_row(image, y, out + static_cast<ptrdiff_t>(y) * out_width_ * pitch_);
}

const Plane& Pool::backward(const float* image, const float* pooled, const float* gradient) {
  std::fill_n(gradient_.data, static_cast<size_t>(height_) * gradient_.row_pitch(), 0.0f);
  if (maximum_) {
    for (int y = 0; y < height_; ++y) {
      for (int x = 0; x < width_; ++x) {
        const float* from = image + (static_cast<ptrdiff_t>(y) * width_ + x) * channels_;
        float* to = image_.row(y) + x * pitch_;
        for (int channel = 0; channel < channels_; channel += kLanes) {
          store(to + channel, load_channels(from + channel, channels_ - channel));
        }
      }
    }
  }
  for (int y = 0; y < out_height_; ++y) {
    const int top = std::max(0, y * stride_ - 1), bottom = std::min(height_, y * stride_ + 2);
    if (!maximum_) std::fill_n(row_, (width_ + 2) * pitch_, 0.0f);
    for (int channel = 0; channel < channels_; channel += kLanes) {
      const float* g = gradient + static_cast<ptrdiff_t>(y) * out_width_ * pitch_ + channel;
      const float* m = pooled + static_cast<ptrdiff_t>(y) * out_width_ * pitch_ + channel;
      if (maximum_) {
        for (int x = 0; x < out_width_; ++x, g += pitch_, m += pitch_) {
          const Vector best = load(m);
          Vector remaining = load(g);
          for (int y_in = top; y_in < bottom; ++y_in) {
            const float* value = image_.row(y_in) + (x * stride_ - 1) * pitch_ + channel;
            float* target = gradient_.row(y_in) + (x * stride_ - 1) * pitch_ + channel;
            unroll<3>([&](auto j) {
              const VectorMask hit = load(value + j * pitch_) == best;
              store(target + j * pitch_, load(target + j * pitch_) + (hit ? remaining : Vector{}));
              remaining = hit ? Vector{} : remaining;
            });
          }
        }
        continue;
      }
      float* column = row_ + channel;
      for (int x = 0; x < out_width_; ++x, g += pitch_) {
        const Vector value = load(g) * share(y, x);
        float* window = column + x * stride_ * pitch_;
        unroll<3>([&](auto j) { store(window + j * pitch_, load(window + j * pitch_) + value); });
      }
      for (int y_in = top; y_in < bottom; ++y_in) {
        float* target = gradient_.row(y_in) + channel;
        for (int x = 0; x < width_; ++x) {
          store(target + x * pitch_, load(target + x * pitch_) + load(column + (x + 1) * pitch_));
        }
      }
    }
  }
  return gradient_;
}

}  // namespace ista
