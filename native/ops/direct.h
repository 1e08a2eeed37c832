// Convolutions of stride 1 over all channels on one image, whose taps are read where they lie: the pixels of a row and their neighbours
// are rows of a matrix that overlap, so that nothing is gathered.
#pragma once

#include "dense.h"
#include "planes.h"

namespace ista {

// Of one input, with a ReLU before, an odd square kernel, and the padding that keeps the size.
struct DirectWeights : DenseShape {
  PackedMatrix forward;  // [tap, channel] -> out channel
  PackedMatrix back;     // [tap turned by 180 degrees, out channel] -> channel
  int padding() const { return taps.back().dx; }
  int channels() const { return input_channels[0]; }
  // matrix: [tap, channel][out channel]. Only what the pass needs is set.
  void set_matrix(const std::vector<float>& matrix, Pass pass);
};

// Scratch memory for the images of one chunk, as Dense, and with the same arguments.
class Direct {
 public:
  using Weights = DirectWeights;
  Direct(Arena& arena, const DirectWeights& weights, Pass pass);
  void forward(const std::vector<const float*>& images, float* out, ImageSums* sums, Affine after);
  void backward(const std::vector<const float*>& images, const RawGradient& coefficients, float mask,
                const DenseGradientOfImage& task);

 private:
  // The taps that row y of a product reads from the plane: as few sources as can be.
  const std::vector<ProductSource>& sources(const Plane& plane, int channels, int y);
  // Fills `active_` as far as the first `rows` rows of the output read it; `filled` rows are there.
  void fill_for(int rows, const float* image, int& filled);
  void add_weight_gradient(int first_row, int rows, float* sums);
  const VectorCode& code_;
  const DirectWeights& weights_;
  int pad_, kernel_, strip_rows_;
  Plane active_, gradient_;  // what the taps read: the image after its ReLU; the gradient by the output
  std::vector<ProductSource> sources_;
};

}  // namespace ista
