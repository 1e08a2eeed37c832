// 3 x 3 pooling: down the columns first, then along the row. Backward collects, for every pixel, from the windows that it lies in.
#include "blocks.h"
#include "tables.h"

namespace ista {
namespace ISTA_VECTOR_CODE {
namespace {

template <bool kMaximum>
Vector join(Vector a, Vector b, Vector c) {
  return kMaximum ? maximum(maximum(a, b), c) : a + b + c;
}

// One over the number of pixels under the window, for every pixel of output row y.
void set_shares(const PoolPlan& plan, int y) {
  const auto inside = [stride = plan.stride](int at, int size) { return smaller(size, at * stride + 2) - larger(0, at * stride - 1); };
  for (int x = 0; x < plan.out_width; ++x) plan.shares[x] = 1.0f / static_cast<float>(inside(y, plan.height) * inside(x, plan.width));
}

// Row y of the output, in `columns`: the three rows of the image under it joined, one pixel of padding at either end.
template <bool kMaximum>
ISTA_IN_PLACE void join_rows(const PoolPlan& plan, const float* image, int y) {
  const ptrdiff_t row_size = static_cast<ptrdiff_t>(plan.width) * plan.channels;
  const int center = y * plan.stride;
  const float* middle = image + center * row_size;
  // A row outside: for the maximum any row that is inside does as well.
  const float* const outside = kMaximum ? middle : plan.zeros;
  const float *above = center > 0 ? middle - row_size : outside, *below = center + 1 < plan.height ? middle + row_size : outside;
  const int channels = plan.channels, pitch = plan.pitch;
  float* const columns = plan.columns + pitch;
  for_pixel_blocks(plan.width, channels, [&](int first, int count, int channel, auto lanes) {
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
ISTA_IN_PLACE void forward_row(const PoolPlan& plan, const float* image, int y, float* out) {
  join_rows<kMaximum>(plan, image, y);
  if (!kMaximum) set_shares(plan, y);
  const int pitch = plan.pitch;
  for (int x = 0; x < plan.out_width; ++x, out += pitch) {
    const float* window = plan.columns + x * plan.stride * pitch;
    const Vector share = kMaximum ? Vector{} : splat(plan.shares[x]);
    for (int channel = 0; channel < pitch; channel += kLanes) {
      const float* at = window + channel;
      const Vector joined = join<kMaximum>(load(at), load(at + pitch), load(at + 2 * pitch));
      store(out + channel, kMaximum ? joined : joined * share);
    }
  }
}

void forward(const PoolPlan& plan, const float* image, float* out) {
  for (int y = 0; y < plan.out_height; ++y, out += static_cast<ptrdiff_t>(plan.out_width) * plan.pitch) {
    if (plan.maximum) {
      forward_row<true>(plan, image, y, out);
    } else {
      forward_row<false>(plan, image, y, out);
    }
  }
}

// Of every window, the place (row * 3 + column) of its maximum, at the window's centre in `places`.
ISTA_IN_PLACE void find_places(const PoolPlan& plan, const float* image, const float* pooled) {
  for (int y = 0; y < plan.height; ++y) {
    const float* row = image + static_cast<ptrdiff_t>(y) * plan.width * plan.channels;
    float* const to = plan.image.row(y);
    const int channels = plan.channels, pitch = plan.pitch;
    for_pixel_blocks(plan.width, channels, [&](int first, int count, int channel, auto lanes) {
      for (int x = first; x < first + count; ++x) {
        unroll<decltype(lanes)::kVectors>([&](auto v) {
          const int at = channel + v * kLanes;
          store(to + x * pitch + at, lanes.read(row + static_cast<ptrdiff_t>(x) * channels + at));
        });
      }
    });
  }
  const int pitch = plan.pitch;
  for (int y = 0; y < plan.out_height; ++y) {
    const int center = y * plan.stride;
    const float* const rows[3] = {center > 0 ? plan.image.row(center - 1) : plan.outside, plan.image.row(center),
                                  center + 1 < plan.height ? plan.image.row(center + 1) : plan.outside};
    float* const places = plan.places.row(center);
    for (int x = 0; x < plan.out_width; ++x, pooled += pitch) {
      const ptrdiff_t left = static_cast<ptrdiff_t>(x * plan.stride - 1) * pitch;
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

// Gradients by the outputs at the centres of their windows, those of averages divided among the pixels.
ISTA_IN_PLACE void spread_gradient(const PoolPlan& plan, const float* gradient) {
  const int pitch = plan.pitch, step = plan.stride * pitch;
  for (int y = 0; y < plan.out_height; ++y) {
    if (!plan.maximum) set_shares(plan, y);
    float* to = plan.spread.row(y * plan.stride);
    for (int x = 0; x < plan.out_width; ++x, gradient += pitch, to += step) {
      const Vector share = splat(plan.maximum ? 1.0f : plan.shares[x]);
      for (int channel = 0; channel < pitch; channel += kLanes) store(to + channel, load(gradient + channel) * share);
    }
  }
}

ISTA_IN_PLACE void maximum_gradient_row(const PoolPlan& plan, int y) {
  const int pitch = plan.pitch, size = plan.width * pitch;
  // The windows whose row `i` is this one have their centres in row y + 1 - i.
  const int centers[3] = {y + 1, y, y - 1};
  const float *gradients[3], *places[3];
  for (int i = 0; i < 3; ++i) {
    const bool inside = centers[i] >= 0 && centers[i] < plan.height;
    gradients[i] = inside ? plan.spread.row(centers[i]) : plan.zeros;
    places[i] = plan.places.row(inside ? centers[i] : y);
  }
  float* const row = plan.row;
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

ISTA_IN_PLACE void average_gradient_row(const PoolPlan& plan, int y) {
  const int pitch = plan.pitch, size = plan.width * pitch;
  const float* middle = plan.spread.row(y) - pitch;
  const ptrdiff_t row_pitch = plan.spread.row_pitch();
  for (int at = 0; at < size + 2 * pitch; at += kLanes) {
    Vector sum = load(middle + at);
    if (y > 0) sum += load(middle - row_pitch + at);
    if (y + 1 < plan.height) sum += load(middle + row_pitch + at);
    store(plan.columns + at, sum);
  }
  for (int at = 0; at < size; at += kLanes) {
    store(plan.row + at, load(plan.columns + at) + load(plan.columns + at + pitch) + load(plan.columns + at + 2 * pitch));
  }
}

void backward(const PoolPlan& plan, const float* image, const float* pooled, const float* gradient, bool accumulate,
              float* input_gradient) {
  if (plan.maximum) find_places(plan, image, pooled);
  spread_gradient(plan, gradient);
  for (int y = 0; y < plan.height; ++y) {
    if (plan.maximum) {
      maximum_gradient_row(plan, y);
    } else {
      average_gradient_row(plan, y);
    }
    kPixels.store_pixels(plan.row, plan.pitch, plan.width, plan.channels, accumulate, input_gradient + static_cast<ptrdiff_t>(y) * plan.width * plan.channels);
  }
}

}  // namespace

const PoolKernels kPools{forward, backward};

}  // namespace ISTA_VECTOR_CODE
}  // namespace ista
