// One branch of a node over a whole batch: what its forward pass leaves behind, and its backward pass.
#pragma once

#include "dense_tensors.h"
#include "direct.h"
#include "pool.h"
#include "separable.h"

namespace ista {
namespace fused {

// Where the values before a branch's last batch norm come from: kept, or cheap enough to make again.
enum class Source { kTensor, kPool, kInput };

struct Branch {
  Pattern pattern;
  std::string name;
  // Filled by `forward`.
  int out_channels = 0, out_height = 0, out_width = 0;
  Tensor middle_raw, raw;            // before the batch norms; `raw` is undefined where Source is not kTensor
  NormState middle_norm, norm;
  Tensor mask;                       // [N] or undefined

  bool pools() const { return pattern.kind == Kind::kMaxPool || pattern.kind == Kind::kAveragePool; }
  Source source() const {
    return pools() ? Source::kPool : pattern.kind == Kind::kIdentity ? Source::kInput : Source::kTensor;
  }
  // Whether `raw` is dropped and computed again where memory is to be saved.
  bool recomputes() const { return pattern.kind == Kind::kSeparable || pattern.kind == Kind::kDense; }
  float mask_of(int image) const { return mask.defined() ? mask.data_ptr<float>()[image] : 1.0f; }
};

// Reads the values before the last batch norm image by image, within one chunk.
class RawReader {
 public:
  RawReader(Arena& arena, const Branch& branch, const Tensor& input);
  // The image's values, `pitch()` floats a pixel apart, valid until the next call.
  const float* image(int index);
  int pitch() const { return pitch_; }

 private:
  const Tensor& values_;
  int pitch_;
  std::vector<Pool> pool_;  // none or one
  float* pooled_ = nullptr;
};

// Runs the branch up to (not including) its last batch norm, whose statistics it takes. `input` is channels-last.
void forward(Branch& branch, const Tensor& input, TensorList convolutions, const Norm& first, const Norm& last,
             NormSettings settings);

// The values before a branch's last batch norm, where they come from a convolution, may be dropped after the forward pass and computed
// again in the backward pass: a third less memory for a tenth more time.
void drop_raw(Branch& branch);
void restore_raw(Branch& branch, const Tensor& input, TensorList convolutions);

struct BranchGradients {
  Tensor input;                      // in and out: added to if defined, otherwise made
  bool wants_input = false;
  std::vector<bool> wants_convolution;
  std::vector<Tensor> convolutions;  // out
  bool wants_middle_norm = false;
  Tensor middle_gamma, middle_beta;  // out
};

// `gradient`: by the node; `coefficients`: those of the last batch norm.
void backward(const Branch& branch, const Tensor& input, TensorList convolutions, const Tensor& gradient,
              const RawGradient& coefficients, BranchGradients& wanted);

}  // namespace fused
}  // namespace ista
