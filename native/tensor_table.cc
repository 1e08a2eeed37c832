// The table of tensors behind the handles.
#include "tensor_table.h"

#include <cmath>

namespace ista {

double TensorTable::insert(at::Tensor tensor) {
  uint32_t index;
  if (free_.empty()) {
    if (slots_.size() >= static_cast<size_t>(kSlots)) throw std::runtime_error("more than 2^24 live tensors");
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    index = free_.back();
    free_.pop_back();
  }
  Slot& slot = slots_[index];
  slot.tensor = std::move(tensor);
  slot.used = true;
  slot.scope = static_cast<uint32_t>(scopes_.size());
  if (!scopes_.empty()) scopes_.back().push_back(index);
  ++live_;
  return index + slot.generation * kSlots;
}

uint32_t TensorTable::find(double handle) const {
  if (!(handle >= kSlots && handle < 9007199254740992.0) || handle != std::floor(handle))
    throw HandleError("ENGINE_ARGUMENT", "expected a tensor, got something that never was one");
  const auto index = static_cast<uint32_t>(std::fmod(handle, kSlots));
  const auto generation = static_cast<uint32_t>(handle / kSlots);
  if (index >= slots_.size()) throw HandleError("ENGINE_ARGUMENT", "expected a tensor, got something that never was one");
  if (!slots_[index].used || slots_[index].generation != generation)
    throw HandleError("ENGINE_FREED",
                      "the tensor was freed (by dispose(), or because its scope has closed); return it from the scope "
                      "or call keep() to use it later");
  return index;
}

const at::Tensor& TensorTable::get(double handle) const { return slots_[find(handle)].tensor; }

void TensorTable::release(double handle) { free_slot(find(handle)); }

void TensorTable::free_slot(uint32_t index) {
  Slot& slot = slots_[index];
  slot.tensor = at::Tensor();
  slot.used = false;
  --live_;
  // A slot whose generations are used up is retired, so that no handle is ever given out twice.
  if (++slot.generation < kGenerations) free_.push_back(index);
}

uint32_t TensorTable::open_scope() {
  scopes_.emplace_back();
  return static_cast<uint32_t>(scopes_.size());
}

void TensorTable::close_scope(uint32_t depth) {
  if (depth == 0 || depth != scopes_.size())
    throw HandleError("ENGINE_ARGUMENT", "scope: closed out of order; scopes must be strictly nested");
  const std::vector<uint32_t> members = std::move(scopes_.back());
  scopes_.pop_back();
  for (uint32_t index : members)
    if (slots_[index].used && slots_[index].scope == depth) free_slot(index);
}

void TensorTable::move_out(double handle, bool outermost) {
  Slot& slot = slots_[find(handle)];
  if (slot.scope == 0) return;
  slot.scope = outermost ? 0 : slot.scope - 1;
  if (slot.scope > 0) scopes_[slot.scope - 1].push_back(static_cast<uint32_t>(&slot - slots_.data()));
}

}  // namespace ista
