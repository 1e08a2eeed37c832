// Loops over pixels; incomplete last vectors of channels are read and written in part.
#include "pixels.h"

namespace ista {
namespace {

// body(pixel's offset multiplier p, first channel, channels left): one vector at a time, all pixels of a channel vector first, so
// that what belongs to the channel stays in registers.
template <class Body>
void for_channel_vectors(int channels, const Body& body) {
  for (int channel = 0; channel < channels; channel += kLanes) {
    const int left = channels - channel;
    if (left >= kLanes) {
      body(channel, [](const float* address) { return load(address); },
           [](float* address, Vector value) { store(address, value); });
    } else {
      body(channel, [left](const float* address) { return load_first(address, left); },
           [left](float* address, Vector value) { store_first(address, value, left); });
    }
  }
}

}  // namespace

void fill_relu(const Plane& plane, const float* image, int channels, Affine before) {
  const int pitch = plane.pitch;
  for (int y = 0; y < plane.height; ++y) {
    const float* row = image + static_cast<ptrdiff_t>(y) * plane.width * channels;
    for_channel_vectors(channels, [&](int channel, auto read, auto) {
      const float* from = row + channel;
      float* to = plane.row(y) + channel;
      if (before.scale == nullptr) {
        for (int x = 0; x < plane.width; ++x, from += channels, to += pitch) store(to, maximum(Vector{}, read(from)));
      } else {
        const Vector scale = load(before.scale + channel), shift = load(before.shift + channel);
        for (int x = 0; x < plane.width; ++x, from += channels, to += pitch) {
          store(to, maximum(Vector{}, read(from) * scale + shift));
        }
      }
    });
  }
}

void store_relu_gradient(const float* gradient, int pitch, const float* image, Affine before, int pixels, int channels,
                         bool accumulate, float* out) {
  for_channel_vectors(channels, [&](int channel, auto read, auto write) {
    const Vector scale = before.scale ? load(before.scale + channel) : splat(1.0f);
    const Vector shift = before.shift ? load(before.shift + channel) : Vector{};
    const float *g = gradient + channel, *from = image + channel;
    float* to = out + channel;
    for (int p = 0; p < pixels; ++p, g += pitch, from += channels, to += channels) {
      const Vector value = read(from) * scale + shift > Vector{} ? load(g) : Vector{};
      write(to, accumulate ? read(to) + value : value);
    }
  });
}

void store_pixels(const float* values, int pitch, int pixels, int channels, bool accumulate, float* out) {
  for_channel_vectors(channels, [&](int channel, auto read, auto write) {
    const float* from = values + channel;
    float* to = out + channel;
    for (int p = 0; p < pixels; ++p, from += pitch, to += channels) {
      write(to, accumulate ? read(to) + load(from) : load(from));
    }
  });
}

void add_normalised(const float* raw, int raw_pitch, Affine norm, float factor, int pixels, int channels, bool accumulate,
                    float* out) {
  for_channel_vectors(channels, [&](int channel, auto read, auto write) {
    const Vector scale = norm.scale ? load(norm.scale + channel) * factor : splat(factor);
    const Vector shift = norm.shift ? load(norm.shift + channel) * factor : Vector{};
    const float* from = raw + channel;
    float* to = out + channel;
    for (int p = 0; p < pixels; ++p, from += raw_pitch, to += channels) {
      const Vector value = read(from) * scale + shift;
      write(to, accumulate ? read(to) + value : value);
    }
  });
}

}  // namespace ista
