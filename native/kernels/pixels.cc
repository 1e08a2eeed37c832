// Loops over pixels; incomplete last vectors of channels are read and written in part.
#include "blocks.h"
#include "tables.h"

namespace ista {
namespace ISTA_VECTOR_CODE {
namespace {

// The map of some channels; the identity where there is none.
template <class Lanes>
ChannelValues<Lanes> scale_of(Affine affine, int channel, Lanes) {
  return affine.scale ? ChannelValues<Lanes>(affine.scale + channel) : ChannelValues<Lanes>(splat(1.0f));
}
template <class Lanes>
ChannelValues<Lanes> shift_of(Affine affine, int channel, Lanes) {
  return affine.shift ? ChannelValues<Lanes>(affine.shift + channel) : ChannelValues<Lanes>(Vector{});
}

ISTA_IN_PLACE
void fill_relu(const Plane& plane, int first_row, int end_row, const float* image, int channels, Affine before) {
  const int pitch = plane.pitch;
  const Vector zero = in_register(Vector{});
  for (int y = first_row; y < end_row; ++y) {
    const float* row = image + static_cast<ptrdiff_t>(y) * plane.width * channels;
    for_pixel_blocks(plane.width, channels, [&](int first, int count, int channel, auto lanes) {
      constexpr int V = decltype(lanes)::kVectors;
      const float* from = row + static_cast<ptrdiff_t>(first) * channels + channel;
      float* to = plane.row(y) + first * pitch + channel;
      if (before.scale == nullptr) {
        for (int x = 0; x < count; ++x, from += channels, to += pitch) {
          prefetch(from, channels);
          unroll<V>([&](auto v) { store(to + v * kLanes, maximum(zero, lanes.read(from + v * kLanes))); });
        }
        return;
      }
      const ChannelValues<decltype(lanes)> scale(before.scale + channel), shift(before.shift + channel);
      for (int x = 0; x < count; ++x, from += channels, to += pitch) {
        prefetch(from, channels);
        unroll<V>([&](auto v) {
          store(to + v * kLanes, maximum(zero, lanes.read(from + v * kLanes) * scale.at[v] + shift.at[v]));
        });
      }
    });
  }
}

ISTA_IN_PLACE
void gather(const float* image, int from_step, float* target, int to_pitch, int pixels, int channels, float lowest) {
  const Vector floor = splat(lowest);
  for_pixel_blocks(pixels, channels, [&](int first, int count, int channel, auto lanes) {
    const float* from = image + static_cast<ptrdiff_t>(first) * from_step + channel;
    float* to = target + static_cast<ptrdiff_t>(first) * to_pitch + channel;
    for (int p = 0; p < count; ++p, from += from_step, to += to_pitch) {
      prefetch(from, from_step);
      unroll<decltype(lanes)::kVectors>([&](auto v) { store(to + v * kLanes, maximum(floor, lanes.read(from + v * kLanes))); });
    }
  });
}

ISTA_IN_PLACE
void store_relu_gradient(const float* gradient, int pitch, const float* image, Affine before, int pixels, int channels,
                         bool accumulate, float* out) {
  for_pixel_blocks(pixels, channels, [&](int first, int count, int channel, auto lanes) {
    constexpr int V = decltype(lanes)::kVectors;
    const ChannelValues<decltype(lanes)> scale = scale_of(before, channel, lanes), shift = shift_of(before, channel, lanes);
    const ptrdiff_t offset = static_cast<ptrdiff_t>(first) * channels + channel;
    const float *g = gradient + static_cast<ptrdiff_t>(first) * pitch + channel, *from = image + offset;
    float* to = out + offset;
    for (int p = 0; p < count; ++p, g += pitch, from += channels, to += channels) {
      prefetch(from, channels);
      prefetch_to_write(to, channels);
      unroll<V>([&](auto v) {
        const Vector before_relu = lanes.read(from + v * kLanes) * scale.at[v] + shift.at[v];
        const Vector value = before_relu > Vector{} ? load(g + v * kLanes) : Vector{};
        lanes.write(to + v * kLanes, accumulate ? lanes.read(to + v * kLanes) + value : value);
      });
    }
  });
}

ISTA_IN_PLACE
void store_pixels(const float* values, int pitch, int pixels, int channels, bool accumulate, float* out) {
  for_pixel_blocks(pixels, channels, [&](int first, int count, int channel, auto lanes) {
    constexpr int V = decltype(lanes)::kVectors;
    const float* from = values + static_cast<ptrdiff_t>(first) * pitch + channel;
    float* to = out + static_cast<ptrdiff_t>(first) * channels + channel;
    for (int p = 0; p < count; ++p, from += pitch, to += channels) {
      prefetch_to_write(to, channels);
      unroll<V>([&](auto v) {
        const Vector value = load(from + v * kLanes);
        lanes.write(to + v * kLanes, accumulate ? lanes.read(to + v * kLanes) + value : value);
      });
    }
  });
}

ISTA_IN_PLACE
void add_normalised(const float* raw, int raw_pitch, Affine norm, float factor, int pixels, int channels, bool accumulate,
                    float* out) {
  for_pixel_blocks(pixels, channels, [&](int first, int count, int channel, auto lanes) {
    constexpr int V = decltype(lanes)::kVectors;
    ChannelValues<decltype(lanes)> scale = scale_of(norm, channel, lanes), shift = shift_of(norm, channel, lanes);
    unroll<V>([&](auto v) {
      scale.at[v] *= factor;
      shift.at[v] *= factor;
    });
    const float* from = raw + static_cast<ptrdiff_t>(first) * raw_pitch + channel;
    float* to = out + static_cast<ptrdiff_t>(first) * channels + channel;
    for (int p = 0; p < count; ++p, from += raw_pitch, to += channels) {
      prefetch(from, raw_pitch);
      prefetch_to_write(to, channels);
      unroll<V>([&](auto v) {
        const Vector value = lanes.read(from + v * kLanes) * scale.at[v] + shift.at[v];
        lanes.write(to + v * kLanes, accumulate ? lanes.read(to + v * kLanes) + value : value);
      });
    }
  });
}

}  // namespace

const PixelKernels kPixels{fill_relu, gather, store_relu_gradient, store_pixels, add_normalised};

}  // namespace ISTA_VECTOR_CODE
}  // namespace ista
