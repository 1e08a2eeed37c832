// Batch normalisation: moments, coefficients, and the loops over pixels that apply them.
#include "blocks.h"
#include "tables.h"

namespace ista {
namespace ISTA_VECTOR_CODE {
namespace {

// Independent accumulators of a sum, since an addition takes several cycles.
constexpr int kChains = 2;

Vector total(const Vector (&sums)[kChains]) { return sums[0] + sums[1]; }

// body(index, Constant of the accumulator to add to).
template <class Body>
__attribute__((always_inline)) inline void for_chains(int count, const Body& body) {
  int i = 0;
  for (; i + kChains <= count; i += kChains) {
    unroll<kChains>([&](auto chain) { body(i + chain, chain); });
  }
  for (; i < count; ++i) body(i, Constant<0>{});
}

// sums[lane] += factor * values[lane], in double precision.
void add_to_doubles(double* sums, Vector values, Vector factors, int lanes) {
  for (int lane = 0; lane < lanes; ++lane) sums[lane] += static_cast<double>(factors[lane]) * values[lane];
}

ISTA_IN_PLACE
void add_moments(const float* values, int pixels, int channels, const float* pivots, float* sums, float* squares) {
  for_pixel_blocks(pixels, channels, [&](int first, int count, int channel, auto lanes) {
    constexpr int V = decltype(lanes)::kVectors;
    const float* value = values + static_cast<ptrdiff_t>(first) * channels + channel;
    const ChannelValues<decltype(lanes)> pivot(pivots + channel);
    Vector sum[V][kChains] = {}, square[V][kChains] = {};
    for_chains(count, [&](int p, auto chain) {
      const float* from = value + static_cast<ptrdiff_t>(p) * channels;
      unroll<V>([&](auto v) {
        const Vector distance = lanes.read(from + v * kLanes) - pivot.at[v];
        sum[v][chain] += distance;
        square[v][chain] += distance * distance;
      });
    });
    unroll<V>([&](auto v) {
      const int at = channel + v * kLanes;
      store(sums + at, load(sums + at) + total(sum[v]));
      store(squares + at, load(squares + at) + total(square[v]));
    });
  });
}

void finish_moments(int count, int channels, const float* pivot, const float* sum, const float* square, float* mean, float* squares) {
  const float inverse = 1.0f / static_cast<float>(count);
  for (int i = 0; i < channels; ++i) {
    mean[i] = pivot[i] + sum[i] * inverse;
    const float difference = square[i] - sum[i] * sum[i] * inverse;
    squares[i] = 0.0f < difference ? difference : 0.0f;
  }
}

void join_moments(Moments moments, NormParameters parameters, double momentum, double* mean, double* squares) {
  const int channels = parameters.channels, pixels = moments.pixels;
  for (int i = 0; i < channels; ++i) mean[i] = squares[i] = 0;
  for (int image = 0; image < moments.images; ++image) {
    const ptrdiff_t offset = static_cast<ptrdiff_t>(image) * moments.pitch;
    const float *image_mean = moments.means + offset, *image_squares = moments.squares + offset;
    for (int i = 0; i < channels; ++i) {
      // Chan, Golub and LeVeque 1979: join the moments of `image` images with those of one more.
      const double distance = image_mean[i] - mean[i];
      mean[i] += distance / (image + 1);
      squares[i] += image_squares[i] + distance * distance * pixels * image / (image + 1);
    }
  }
  const double count = static_cast<double>(moments.images) * pixels;
  for (int i = 0; i < channels; ++i) {
    if (parameters.running_mean != nullptr) {
      float &running_mean = parameters.running_mean[i], &running_variance = parameters.running_variance[i];
      running_mean = static_cast<float>((1 - momentum) * running_mean + momentum * mean[i]);
      running_variance = static_cast<float>((1 - momentum) * running_variance + momentum * squares[i] / (count - 1));
    }
    squares[i] /= count;
  }
}

void coefficients(const double* mean, const double* variance, NormParameters parameters, double epsilon, NormCoefficients out) {
  for (int i = 0; i < parameters.channels; ++i) {
    const double inverse_deviation = 1.0 / __builtin_sqrt(variance[i] + epsilon);
    const double scale = inverse_deviation * (parameters.gamma ? parameters.gamma[i] : 1.0f);
    out.mean[i] = static_cast<float>(mean[i]);
    out.inverse_deviation[i] = static_cast<float>(inverse_deviation);
    out.scale[i] = static_cast<float>(scale);
    out.shift[i] = static_cast<float>((parameters.beta ? parameters.beta[i] : 0.0f) - mean[i] * scale);
  }
}

ISTA_IN_PLACE
void add_gradient_sums(const float* gradient, int gradient_pitch, const float* raw, int raw_pitch, int pixels, int channels,
                       float mask, const float* mean, const float* inverse_deviation, double* sum, double* product) {
  if (mask == 0.0f) return;
  for_pixel_blocks(pixels, channels, [&](int first, int count, int channel, auto lanes) {
    constexpr int V = decltype(lanes)::kVectors;
    const float* g = gradient + static_cast<ptrdiff_t>(first) * gradient_pitch + channel;
    const float* r = raw + static_cast<ptrdiff_t>(first) * raw_pitch + channel;
    Vector center[V], sums[V][kChains] = {}, products[V][kChains] = {};
    unroll<V>([&](auto v) { center[v] = mean ? load(mean + channel + v * kLanes) : Vector{}; });
    for_chains(count, [&](int p, auto chain) {
      const float *g_pixel = g + static_cast<ptrdiff_t>(p) * gradient_pitch, *r_pixel = r + static_cast<ptrdiff_t>(p) * raw_pitch;
      prefetch(g_pixel, gradient_pitch);
      prefetch(r_pixel, raw_pitch);
      unroll<V>([&](auto v) {
        const Vector difference = lanes.read(g_pixel + v * kLanes);
        sums[v][chain] += difference;
        products[v][chain] += difference * (lanes.read(r_pixel + v * kLanes) - center[v]);
      });
    });
    unroll<V>([&](auto v) {
      const int at = channel + v * kLanes, used = smaller(kLanes, channels - at);
      add_to_doubles(sum + at, total(sums[v]), splat(mask), used);
      add_to_doubles(product + at, total(products[v]), inverse_deviation ? load(inverse_deviation + at) * mask : splat(mask), used);
    });
  });
}

ISTA_IN_PLACE
void raw_gradient(RawGradientCoefficients coefficients, float mask, const float* gradient, const float* raw, int pixels, int channels,
                  float* out, int out_pitch) {
  for_pixel_blocks(pixels, channels, [&](int first, int count, int channel, auto lanes) {
    constexpr int V = decltype(lanes)::kVectors;
    ChannelValues<decltype(lanes)> a(coefficients.a + channel);
    const ChannelValues<decltype(lanes)> b(coefficients.b + channel), c(coefficients.c + channel),
        mean(coefficients.mean + channel);
    unroll<V>([&](auto v) { a.at[v] *= mask; });
    const ptrdiff_t offset = static_cast<ptrdiff_t>(first) * channels + channel;
    const float *g = gradient + offset, *r = raw + offset;
    float* to = out + static_cast<ptrdiff_t>(first) * out_pitch + channel;
    if (!coefficients.uses_raw) {
      for (int p = 0; p < count; ++p, g += channels, to += out_pitch) {
        unroll<V>([&](auto v) { store(to + v * kLanes, a.at[v] * lanes.read(g + v * kLanes)); });
      }
      return;
    }
    for (int p = 0; p < count; ++p, g += channels, r += channels, to += out_pitch) {
      prefetch(g, channels);
      prefetch(r, channels);
      unroll<V>([&](auto v) {
        const Vector distance = lanes.read(r + v * kLanes) - mean.at[v];
        store(to + v * kLanes, a.at[v] * lanes.read(g + v * kLanes) + (b.at[v] * distance + c.at[v]));
      });
    }
  });
}

double factor_gradient(const double* sums, const double* products, const float* gamma, const float* beta, int channels) {
  double total = 0;
  for (int i = 0; i < channels; ++i) {
    total += products[i] * (gamma ? gamma[i] : 1.0f);
    if (beta) total += sums[i] * beta[i];
  }
  return total;
}

}  // namespace

const NormKernels kNorms{add_moments,       finish_moments, join_moments,   coefficients,
                                           add_gradient_sums, raw_gradient,   factor_gradient};

}  // namespace ISTA_VECTOR_CODE
}  // namespace ista
