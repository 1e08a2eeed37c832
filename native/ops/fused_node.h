// The autograd nodes of fused operators, which add to each other's gradients in place.
#pragma once

#include <torch/csrc/autograd/function.h>

#include "fused.h"

namespace ista {
namespace fused {

// libtorch adds up the gradients of a tensor that several operators read: each writes one of its own, and every addition is a pass over
// three of them. A fused operator instead writes, or adds, into the node that made the tensor, and hands libtorch an undefined gradient,
// which is no gradient but counts as one that has come. Not where anybody else looks at the gradient on its way.
class FusedNode : public torch::autograd::Node {
 public:
  void release_variables() override { received_ = Tensor(); }

 protected:
  // The gradient by the node's output: what libtorch brings and what other fused nodes have added. Undefined: none.
  Tensor take_gradient(const Tensor& brought);

  // The gradient by the tensor behind edge `index`, to be written or, where it is `defined` already, added to; then given back by
  // `set_input_gradient`, which leaves in `result` what libtorch is to be told.
  Tensor input_gradient(size_t index, const torch::autograd::variable_list& result) const;
  void set_input_gradient(size_t index, const Tensor& gradient, torch::autograd::variable_list& result) const;

 private:
  // The fused node that takes the gradient of edge `index` directly; null: libtorch does.
  FusedNode* receiver(size_t index) const;
  Tensor received_;
};

}  // namespace fused
}  // namespace ista
