// The loops over pixels and channels that do the fused operators' work, as tables of functions: one set for each instruction set that they
// are compiled for. ops/vector_code.h says which set a process uses.
//
// Files of this folder are compiled once per set (x86_64/*.flags), all others once, for any processor. So that no instruction of one set
// gets into another: what is defined here is in the set's namespace, what both sides call is always in place, and nothing is called that
// the C++ library defines in headers, since of such a function the linker keeps one copy for the whole addon, no matter whose.
#pragma once

#include <cstddef>
#include <cstdint>

#define ISTA_ALWAYS_IN_PLACE __attribute__((always_inline)) inline

namespace ista {

// The affine map in front of a ReLU, per channel; null pointers: none.
struct Affine {
  const float* scale = nullptr;
  const float* shift = nullptr;
};

// An image in scratch memory: `pitch` floats a pixel (channels rounded up to whole vectors), `pad` pixels beside each row.
struct Plane {
  float* data;
  int height, width, pad, pitch;
  ISTA_ALWAYS_IN_PLACE int row_pitch() const { return (width + 2 * pad) * pitch; }
  // Pixel 0 of row y.
  ISTA_ALWAYS_IN_PLACE float* row(int y) const { return data + static_cast<ptrdiff_t>(y) * row_pitch() + pad * pitch; }
};

// Loops over the pixels of an image whose channels are contiguous: normalise, ReLU, mask, weighted sum.
struct PixelKernels {
  // Rows first_row to end_row - 1 of plane = relu(scale * image + shift); the padding must already be zero.
  void (*fill_relu)(const Plane& plane, int first_row, int end_row, const float* image, int channels, Affine before);
  // to = max(lowest, from), whole vectors of `channels` channels; pixels are `from_step` and `to_pitch` floats apart.
  void (*gather)(const float* from, int from_step, float* to, int to_pitch, int pixels, int channels, float lowest);
  // The gradient of fill_relu: out (+)= gradient where scale * image + shift > 0, else 0, for `pixels` pixels.
  void (*store_relu_gradient)(const float* gradient, int pitch, const float* image, Affine before, int pixels, int channels,
                              bool accumulate, float* out);
  // out (+)= values, for `pixels` pixels of which those of `values` are `pitch` floats apart.
  void (*store_pixels)(const float* values, int pitch, int pixels, int channels, bool accumulate, float* out);
  // out (+)= factor * (scale * raw + shift).
  void (*add_normalised)(const float* raw, int raw_pitch, Affine norm, float factor, int pixels, int channels, bool accumulate,
                         float* out);
};

struct Filter {
  int kernel;    // 3, 5 or 7
  int dilation;  // 1 or 2
  int stride;    // 1 or 2
  ISTA_ALWAYS_IN_PLACE int padding() const { return dilation * (kernel / 2); }
  ISTA_ALWAYS_IN_PLACE int output_size(int input) const { return (input - 1) / stride + 1; }
};

// Depthwise filters over images whose channels are contiguous, one vector of channels at a time.
struct DepthwiseKernels {
  // Output row y of the filter over `input` (padded by at least the filter's padding): `width` pixels, `input.pitch` apart.
  // weights: [kernel * kernel][pitch].
  void (*row)(Filter filter, const Plane& input, const float* weights, int y, float* out, int width);
  // Row y of the gradient by the filter's input. `gradient` has the size of the *input*, a stride of 2 being spread out with zeros
  // between; weights as above but turned by 180 degrees.
  void (*gradient_row)(Filter filter, const Plane& gradient, const float* turned_weights, int y, float* out);
  // sums[kernel * kernel][pitch] += gradient by the weights; `gradient` as above.
  void (*add_weight_gradient)(Filter filter, const Plane& input, const Plane& gradient, const float* zero_row, float* sums);
};

// A matrix laid out for `multiply`: blocks of a few column vectors, each block contiguous over the depth; columns filled up with zeros.
struct Packed {
  const float* data;
  int depth, columns;
};

// Where pixel p of a row-major image goes: rows of `width` pixels, `pixel` floats apart, rows `row` floats apart.
struct PixelMap {
  int width;
  int pixel;
  int row;
};

// What happens to a product on its way out.
struct ProductTarget {
  float* out;
  PixelMap map;
  int columns;                     // written per pixel: the matrix's own number or the padded one
  const float* positive = nullptr;  // laid out as `out`: the gradient of a ReLU, zero where this is not positive
  bool accumulate = false;         // add to what is there
};

// A part of a product's left side: `channels` values of every pixel, pixels `pitch` floats apart.
struct ProductSource {
  const float* values;
  int pitch;
  int channels;
};

// Pixels of two images: rows of `width` pixels, so many floats apart.
struct PixelRows {
  int rows;
  int width;
  ptrdiff_t a_row = 0, b_row = 0;
};

// Small matrix products over pixels: out[pixel][column] = sum over depth of a[pixel][depth] * b[depth][column], and the products of its gradient.
struct ProductKernels {
  // to: zeros, [depth * columns rounded up to whole vectors]; matrix(depth, column) = values[depth * depth_stride + column * column_stride].
  void (*pack)(const float* values, int depth, int columns, int depth_stride, int column_stride, float* to);
  // out = relu(the sources, side by side) x b; without ReLU if `relu` is false. With it, `target` may only store.
  void (*multiply)(const ProductSource* sources, int source_count, bool relu, int pixels, Packed b, const ProductTarget& target);
  // sum[i][j] += sum over pixels of a[pixel][i] * b[pixel][j], j < padded b channels, with relu(a) if `relu`; sum has rows of b_padded.
  void (*add_outer_products)(ProductSource a, bool relu, const float* b, int b_pitch, int b_padded, PixelRows pixels, float* sum);
};

// Mean and squared differences of every image, [images][pitch] each, over the `pixels` of each.
struct Moments {
  const float *means, *squares;
  int images, pitch, pixels;
};

struct NormParameters {
  const float* gamma;  // null: 1
  const float* beta;   // null: 0
  float* running_mean;
  float* running_variance;
  int channels;
};

// Per channel, what a batch norm subtracts and divides by, and the affine map that it is.
struct NormCoefficients {
  float *mean, *inverse_deviation, *scale, *shift;
};

// d loss / d raw = a * mask * gradient + b * (raw - mean) + c, per channel; a * mask * gradient alone unless `uses_raw`.
struct RawGradientCoefficients {
  const float *a, *b, *c, *mean;
  bool uses_raw;
};

struct NormKernels {
  // sum += value - pivot and square += (value - pivot)^2 over pixels that are `channels` floats apart.
  void (*add_moments)(const float* values, int pixels, int channels, const float* pivot, float* sum, float* square);
  // From those sums over `count` pixels, the mean and the sum of squared differences from it.
  void (*finish_moments)(int count, int channels, const float* pivot, const float* sum, const float* square, float* mean,
                         float* squares);
  // Mean and variance of the batch, in double precision; updates the running statistics, unless those are null.
  void (*join_moments)(Moments moments, NormParameters parameters, double momentum, double* mean, double* variance);
  void (*coefficients)(const double* mean, const double* variance, NormParameters parameters, double epsilon, NormCoefficients out);
  // sum += mask * gradient and product += mask * gradient * normalised raw over the pixels of an image (float partial sums, added
  // to doubles). mean/inverse_deviation null: raw itself instead of the normalised value.
  void (*add_gradient_sums)(const float* gradient, int gradient_pitch, const float* raw, int raw_pitch, int pixels, int channels,
                            float mask, const float* mean, const float* inverse_deviation, double* sum, double* product);
  // out[pixel][channel] (whole vectors, `out_pitch` apart) = d loss / d raw for `pixels` pixels.
  void (*raw_gradient)(RawGradientCoefficients coefficients, float mask, const float* gradient, const float* raw, int pixels,
                       int channels, float* out, int out_pitch);
  // From a branch's gradient sums, d loss / d weight of the factor behind its norm; null gamma: 1, null beta: 0.
  double (*factor_gradient)(const double* sums, const double* products, const float* gamma, const float* beta, int channels);
};

// 3 x 3 pooling with padding 1 on one image whose channels are contiguous, and its scratch memory (ops/pool.cc).
struct PoolPlan {
  bool maximum;
  int stride, height, width, out_height, out_width, channels, pitch;
  Plane image, spread, places;  // of the gradient; the image and the places of the maximum only
  float *columns, *shares, *row;
  float *outside, *zeros;  // rows beyond the image: what never wins, no gradient
};

struct PoolKernels {
  // out: [output pixels][pitch]. Averages count the pixels inside the image only.
  void (*forward)(const PoolPlan& plan, const float* image, float* out);
  // input_gradient (+)= the gradient by the image. gradient: [output pixels][pitch]; pooled: what forward wrote (for the maximum, whose
  // gradient goes to the first of equal pixels).
  void (*backward)(const PoolPlan& plan, const float* image, const float* pooled, const float* gradient, bool accumulate,
                   float* input_gradient);
};

struct SgdFactors {
  float clip, decay, rate, keep;
  bool nesterov;
};

// Loops over whole arrays.
struct ArrayKernels {
  void (*add)(float* sums, const float* values, size_t count);
  double (*sum_of_squares)(const float* values, int64_t count);
  // Clipping, weight decay, momentum and update at once.
  void (*sgd)(float* parameter, float* velocity, const float* gradient, int64_t count, SgdFactors factors);
};

// All kernels for one instruction set.
struct VectorCode {
  const char* name;
  int lanes;  // floats of a vector
  const PixelKernels& pixels;
  const DepthwiseKernels& depthwise;
  const ProductKernels& products;
  const NormKernels& norms;
  const PoolKernels& pools;
  const ArrayKernels& arrays;
};

}  // namespace ista
