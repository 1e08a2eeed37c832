// Direct convolutions: strips of rows that stay in the nearer caches go through all products that need them.
#include "direct.h"

#include <algorithm>

namespace ista {

namespace {
// Floats of a strip: about half of a usual first-level cache.
constexpr int kStripFloats = 4096;
}  // namespace

void DirectWeights::set_matrix(const std::vector<float>& matrix, Pass pass) {
  const int in = channels(), out = out_channels, tap_count = static_cast<int>(taps.size());
  if (pass == Pass::kForward) {
    forward = PackedMatrix(matrix.data(), depth(), out, out, 1);
    return;
  }
  std::vector<float> turned(matrix.size());
  for (int tap = 0; tap < tap_count; ++tap) {
    const float* from = matrix.data() + static_cast<size_t>(tap_count - 1 - tap) * in * out;
    float* to = turned.data() + static_cast<size_t>(tap) * out * in;
    for (int i = 0; i < in; ++i) {
      for (int o = 0; o < out; ++o) to[o * in + i] = from[i * out + o];
    }
  }
  back = PackedMatrix(turned.data(), tap_count * out, in, in, 1);
}

Direct::Direct(Arena& arena, const DirectWeights& weights, Pass pass)
    : code_(vector_code()),
      weights_(weights),
      pad_(weights.padding()),
      kernel_(2 * pad_ + 1),
      strip_rows_(std::clamp(kStripFloats / (weights.width * rounded_up(std::max(weights.channels(), weights.out_channels))), 1,
                             weights.height)),
      active_(bordered_plane(arena, weights.height, weights.width, pad_, rounded_up(weights.channels()))) {
  if (pass == Pass::kBackward) gradient_ = bordered_plane(arena, weights.height, weights.width, pad_, rounded_up(weights.out_channels));
}

const std::vector<ProductSource>& Direct::sources(const Plane& plane, int channels, int y) {
  sources_.clear();
  for (int i = 0; i < kernel_; ++i) {
    const float* row = plane.row(y + i - pad_) - pad_ * plane.pitch;
    if (plane.pitch == channels) {
      sources_.push_back({row, plane.pitch, kernel_ * channels});
      continue;
    }
    for (int j = 0; j < kernel_; ++j) sources_.push_back({row + j * plane.pitch, plane.pitch, channels});
  }
  return sources_;
}

void Direct::fill_for(int rows, const float* image, int& filled) {
  const int needed = std::min(weights_.height, rows + pad_);
  code_.pixels.fill_relu(active_, filled, needed, image, weights_.channels(), {});
  filled = needed;
}

void Direct::forward(const std::vector<const float*>& images, float* out, ImageSums* sums, Affine after) {
  const int width = weights_.width, height = weights_.height, channels = weights_.out_channels;
  const PixelMap map{width, channels, width * channels};
  int filled = 0;
  for (int first = 0; first < height; first += strip_rows_) {
    const int rows = std::min(strip_rows_, height - first), pixels = rows * width;
    fill_for(first + rows, images[0], filled);
    float* const strip = out + static_cast<ptrdiff_t>(first) * map.row;
    for (int y = 0; y < rows; ++y) {
      const std::vector<ProductSource>& left = sources(active_, weights_.channels(), first + y);
      code_.products.multiply(left.data(), left.size(), false, width, weights_.forward.packed(),
                              {strip + static_cast<ptrdiff_t>(y) * map.row, map, channels});
    }
    if (sums != nullptr) {
      if (first == 0) sums->start(strip);
      sums->add(strip, pixels);
    }
    if (after.scale != nullptr) code_.pixels.add_normalised(strip, channels, after, 1.0f, pixels, channels, false, strip);
  }
}

void Direct::add_weight_gradient(int first_row, int rows, float* sums) {
  const int pitch = gradient_.pitch;
  // The sources of the strip's first row; those of the others lie one row of the plane further each.
  for (const ProductSource source : sources(active_, weights_.channels(), first_row)) {
    code_.products.add_outer_products(source, false, gradient_.row(first_row), pitch, pitch,
                                      {rows, weights_.width, active_.row_pitch(), gradient_.row_pitch()}, sums);
    sums += static_cast<ptrdiff_t>(source.channels) * pitch;
  }
}

void Direct::backward(const std::vector<const float*>& images, const RawGradient& coefficients, float mask,
                      const DenseGradientOfImage& task) {
  const int width = weights_.width, height = weights_.height, out_channels = weights_.out_channels, channels = weights_.channels();
  int filled = 0;
  for (int first = 0; first < height; first += strip_rows_) {
    const int rows = std::min(strip_rows_, height - first);
    for (int y = first; y < first + rows; ++y) {
      const ptrdiff_t offset = static_cast<ptrdiff_t>(y) * width * out_channels;
      code_.norms.raw_gradient(coefficients.coefficients(), mask, task.gradient + offset, task.raw + offset, width, out_channels,
                               gradient_.row(y), gradient_.pitch);
    }
    if (task.weight_sums == nullptr) continue;
    fill_for(first + rows, images[0], filled);
    add_weight_gradient(first, rows, task.weight_sums);
  }
  if (task.input_gradients[0] == nullptr) return;
  const PixelMap map{width, channels, width * channels};
  for (int y = 0; y < height; ++y) {
    const ptrdiff_t offset = static_cast<ptrdiff_t>(y) * map.row;
    const std::vector<ProductSource>& left = sources(gradient_, out_channels, y);
    code_.products.multiply(left.data(), left.size(), false, width, weights_.back.packed(),
                            {task.input_gradients[0] + offset, map, channels, images[0] + offset, task.accumulate[0]});
  }
}

}  // namespace ista
