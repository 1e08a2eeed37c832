// 3 x 3 pooling: down the columns first, then along the row. Backward collects, for every pixel, from the windows that it lies in.
#include "pool.h"

#include <algorithm>
#include <limits>

#include "blocks.h"
#include "pixels.h"

namespace ista {
namespace {

constexpr float kLowest = -std::numeric_limits<float>::infinity();

template <bool kMaximum>
Vector join(Vector a, Vector b, Vector c) {
  return kMaximum ? maximum(maximum(a, b), c) : a + b + c;
}

}  // namespace

Pool::Pool(Arena& arena, bool maximum, int stride, int height, int width, int channels, bool backward)
    : maximum_(maximum),
      stride_(stride),
      height_(height),
      width_(width),
      out_height_((height - 1) / stride + 1),
      out_width_((width - 1) / stride + 1),
      channels_(channels),
      pitch_(rounded_up(channels)) {
  shares_ = arena.floats(out_width_);
  columns_ = arena.zeros(static_cast<size_t>(width + 2) * pitch_);
  zeros_ = arena.zeros(static_cast<size_t>(width + 2) * pitch_) + pitch_;
  // Padding that never wins.
  if (maximum) std::fill_n(columns_, static_cast<size_t>(width + 2) * pitch_, kLowest);
  if (!backward) return;
  row_ = arena.floats(static_cast<size_t>(width) * pitch_);
  spread_ = Plane::in(arena, height, width, 1, pitch_);
  // Between the centres of windows with a stride there are zeros, which stay.
  if (stride > 1) std::fill_n(spread_.data, static_cast<size_t>(height) * spread_.row_pitch(), 0.0f);
  if (!maximum) return;
  places_ = Plane::in(arena, height, width, 1, pitch_);
  image_ = Plane::in(arena, height, width, 1, pitch_);
  std::fill_n(image_.data, static_cast<size_t>(height) * image_.row_pitch(), kLowest);
  outside_ = arena.floats(image_.row_pitch()) + pitch_;
  std::fill_n(outside_ - pitch_, image_.row_pitch(), kLowest);
}

void Pool::set_shares(int y) {
  const auto inside = [this](int at, int size) { return std::min(size, at * stride_ + 2) - std::max(0, at * stride_ - 1); };
  for (int x = 0; x < out_width_; ++x) shares_[x] = 1.0f / static_cast<float>(inside(y, height_) * inside(x, width_));
}

template <bool kMaximum>
ISTA_IN_PLACE void Pool::join_rows(const float* image, int y) {
  const ptrdiff_t row_size = static_cast<ptrdiff_t>(width_) * channels_;
  const int center = y * stride_;
  const float* middle = image + center * row_size;
  // A row outside: for the maximum any row that is inside does as well.
  const float* const outside = kMaximum ? middle : zeros_;
  const float *above = center > 0 ? middle - row_size : outside, *below = center + 1 < height_ ? middle + row_size : outside;
  const int channels = channels_, pitch = pitch_;
  float* const columns = columns_ + pitch;
  for_pixel_blocks(width_, channels, [&](int first, int count, int channel, auto lanes) {
    ptrdiff_t from = static_cast<ptrdiff_t>(first) * channels + channel;
    float* to = columns + first * pitch + channel;
    for (int p = 0; p < count; ++p, from += channels, to += pitch) {
      prefetch(below + from, channels);
      unroll<decltype(lanes)::kVectors>([&](auto v) {
        const ptrdiff_t at = from + v * kLanes;
        store(to + v * kLanes, join<kMaximum>(lanes.read(above + at), lanes.read(middle + at), lanes.read(below + at)));
      });
    }
  });
}

template <bool kMaximum>
ISTA_IN_PLACE void Pool::forward_row(const float* image, int y, float* out) {
  join_rows<kMaximum>(image, y);
  if (!kMaximum) set_shares(y);
  const int pitch = pitch_;
  for (int x = 0; x < out_width_; ++x, out += pitch) {
    const float* window = columns_ + x * stride_ * pitch;
    const Vector share = kMaximum ? Vector{} : splat(shares_[x]);
    for (int channel = 0; channel < pitch; channel += kLanes) {
      const float* at = window + channel;
      const Vector joined = join<kMaximum>(load(at), load(at + pitch), load(at + 2 * pitch));
      store(out + channel, kMaximum ? joined : joined * share);
    }
  }
}

void Pool::forward(const float* image, float* out) {
  for (int y = 0; y < out_height_; ++y, out += static_cast<ptrdiff_t>(out_width_) * pitch_) {
    if (maximum_) {
      forward_row<true>(image, y, out);
    } else {
      forward_row<false>(image, y, out);
    }
  }
}

ISTA_IN_PLACE void Pool::find_places(const float* image, const float* pooled) {
  for (int y = 0; y < height_; ++y) {
    const float* row = image + static_cast<ptrdiff_t>(y) * width_ * channels_;
    float* const to = image_.row(y);
    const int channels = channels_, pitch = pitch_;
    for_pixel_blocks(width_, channels, [&](int first, int count, int channel, auto lanes) {
      for (int x = first; x < first + count; ++x) {
        unroll<decltype(lanes)::kVectors>([&](auto v) {
          const int at = channel + v * kLanes;
          store(to + x * pitch + at, lanes.read(row + static_cast<ptrdiff_t>(x) * channels + at));
        });
      }
    });
  }
  const int pitch = pitch_;
  for (int y = 0; y < out_height_; ++y) {
    const int center = y * stride_;
    const float* const rows[3] = {center > 0 ? image_.row(center - 1) : outside_, image_.row(center),
                                  center + 1 < height_ ? image_.row(center + 1) : outside_};
    float* const places = places_.row(center);
    for (int x = 0; x < out_width_; ++x, pooled += pitch) {
      const ptrdiff_t left = static_cast<ptrdiff_t>(x * stride_ - 1) * pitch;
      for (int channel = 0; channel < pitch; channel += kLanes) {
        const Vector best = load(pooled + channel);
        Vector found = splat(4.0f);
        // The last one that is found is the first one of the window.
        unroll<9>([&](auto reversed) {
          constexpr int place = 8 - decltype(reversed)::value;
          const Vector value = load(rows[place / 3] + left + channel + place % 3 * pitch);
          found = value == best ? splat(static_cast<float>(place)) : found;
        });
        store(places + left + pitch + channel, found);
      }
    }
  }
}

ISTA_IN_PLACE void Pool::spread(const float* gradient) {
  const int pitch = pitch_, step = stride_ * pitch;
  for (int y = 0; y < out_height_; ++y) {
    if (!maximum_) set_shares(y);
    float* to = spread_.row(y * stride_);
    for (int x = 0; x < out_width_; ++x, gradient += pitch, to += step) {
      const Vector share = splat(maximum_ ? 1.0f : shares_[x]);
      for (int channel = 0; channel < pitch; channel += kLanes) store(to + channel, load(gradient + channel) * share);
    }
  }
}

ISTA_IN_PLACE void Pool::maximum_gradient_row(int y) {
  const int pitch = pitch_, size = width_ * pitch;
  // The windows whose row `i` is this one have their centres in row y + 1 - i.
  const int centers[3] = {y + 1, y, y - 1};
  const float *gradients[3], *places[3];
  for (int i = 0; i < 3; ++i) {
    const bool inside = centers[i] >= 0 && centers[i] < height_;
    gradients[i] = inside ? spread_.row(centers[i]) : zeros_;
    places[i] = places_.row(inside ? centers[i] : y);
  }
  float* const row = row_;
  for (int at = 0; at < size; at += kLanes) {
    Vector sums[3] = {};
    unroll<9>([&](auto place) {
      constexpr int i = decltype(place)::value / 3, j = decltype(place)::value % 3;
      const Vector mine = splat(static_cast<float>(decltype(place)::value));
      const ptrdiff_t center = at + (1 - j) * pitch;
      sums[i] += load(places[i] + center) == mine ? load(gradients[i] + center) : Vector{};
    });
    store(row + at, sums[0] + sums[1] + sums[2]);
  }
}

ISTA_IN_PLACE void Pool::average_gradient_row(int y) {
  const int pitch = pitch_, size = width_ * pitch;
  const float* middle = spread_.row(y) - pitch;
  const ptrdiff_t row_pitch = spread_.row_pitch();
  for (int at = 0; at < size + 2 * pitch; at += kLanes) {
    Vector sum = load(middle + at);
    if (y > 0) sum += load(middle - row_pitch + at);
    if (y + 1 < height_) sum += load(middle + row_pitch + at);
    store(columns_ + at, sum);
  }
  for (int at = 0; at < size; at += kLanes) {
    store(row_ + at, load(columns_ + at) + load(columns_ + at + pitch) + load(columns_ + at + 2 * pitch));
  }
}

void Pool::backward(const float* image, const float* pooled, const float* gradient, bool accumulate, float* input_gradient) {
  if (maximum_) find_places(image, pooled);
  spread(gradient);
  for (int y = 0; y < height_; ++y) {
    if (maximum_) {
      maximum_gradient_row(y);
    } else {
      average_gradient_row(y);
    }
    store_pixels(row_, pitch_, width_, channels_, accumulate, input_gradient + static_cast<ptrdiff_t>(y) * width_ * channels_);
  }
}

}  // namespace ista
