// Handles for tensors: JavaScript holds numbers, never pointers.
//
// A handle is slot + generation * 2^24, below 2^53, so that it is an exact JavaScript number. Freeing a slot raises its
// generation: a handle that was freed never finds another tensor by accident, and use after free and double free are
// errors instead of crashes.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <stdexcept>
#include <vector>

namespace ista {

/** A mistake in the use of handles; `code` is the error code that JavaScript sees. */
struct HandleError : std::runtime_error {
  HandleError(const char* code, const std::string& message) : std::runtime_error(message), code(code) {}
  const char* code;
};

class TensorTable {
 public:
  /** Stores the tensor in the innermost open scope (or outside of all) and gives its handle. */
  double insert(at::Tensor tensor);
  /** @throws HandleError ENGINE_FREED for a handle that is not alive, ENGINE_ARGUMENT for what never was a handle. */
  const at::Tensor& get(double handle) const;
  void release(double handle);

  /** Opens a scope and gives its depth, counted from 1. */
  uint32_t open_scope();
  /** Closes the innermost scope, which must have this depth; frees its tensors but those moved out of it. */
  void close_scope(uint32_t depth);
  /** Moves a tensor to the scope around the innermost one (`outermost`: out of all scopes). */
  void move_out(double handle, bool outermost);

  size_t live() const { return live_; }

 private:
  struct Slot {
    at::Tensor tensor;
    uint32_t generation = 1;
    uint32_t scope = 0;
    bool used = false;
  };
  static constexpr double kSlots = 16777216.0;          // 2^24 slots
  static constexpr uint32_t kGenerations = 536870911u;  // 2^29 - 1: handles stay below 2^53

  uint32_t find(double handle) const;
  void free_slot(uint32_t index);

  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  // Slots that were inserted into each open scope; may name slots that were freed or moved since.
  std::vector<std::vector<uint32_t>> scopes_;
  size_t live_ = 0;
};

}  // namespace ista
