// Gradients that fused operators add to in place.
#include "fused_node.h"

#include <torch/csrc/autograd/graph_task.h>

namespace ista {
namespace fused {

namespace {

// Since libtorch 2, tensors have lists of hooks beside those of their node.
template <class Node>
auto has_tensor_hooks(Node& node, int) -> decltype(node.tensor_pre_hooks(), node.retains_grad_hooks(), bool()) {
  return !node.tensor_pre_hooks().empty() || !node.retains_grad_hooks().empty();
}
template <class Node>
bool has_tensor_hooks(Node&, long) {
  return false;
}

bool has_hooks(torch::autograd::Node& node) { return !node.pre_hooks().empty() || has_tensor_hooks(node, 0); }

// Whether somebody asked for the gradient of the node's output itself.
bool is_captured(torch::autograd::Node* node) {
  const auto* tasks = torch::autograd::get_current_graph_task_exec_info();
  if (tasks == nullptr || tasks->empty()) return false;
  const auto found = tasks->find(node);
  return found == tasks->end() || found->second.captures_ != nullptr;
}

}  // namespace

FusedNode* FusedNode::receiver(size_t index) const {
  FusedNode* node = dynamic_cast<FusedNode*>(next_edge(index).function.get());
  return node == nullptr || has_hooks(*node) || is_captured(node) ? nullptr : node;
}

Tensor FusedNode::take_gradient(const Tensor& brought) {
  Tensor received = std::move(received_);
  received_ = Tensor();
  if (!received.defined()) return brought.defined() ? channels_last(brought) : brought;
  if (brought.defined()) received.add_(brought);
  return received;
}

Tensor FusedNode::input_gradient(size_t index, const torch::autograd::variable_list& result) const {
  const FusedNode* node = receiver(index);
  return node == nullptr ? result[index] : node->received_;
}

void FusedNode::set_input_gradient(size_t index, const Tensor& gradient, torch::autograd::variable_list& result) const {
  FusedNode* node = receiver(index);
  (node == nullptr ? result[index] : node->received_) = gradient;
}

}  // namespace fused
}  // namespace ista
