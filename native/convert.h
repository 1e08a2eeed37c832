// JavaScript values to libtorch's and back, as an operator's own schema says.
#pragma once

#include <ATen/core/function_schema.h>
#include <ATen/core/ivalue.h>
#include <napi.h>

#include "tensor_table.h"

namespace ista {

/** @throws HandleError ENGINE_ARGUMENT naming the type that the schema wants when the value does not fit. */
c10::IValue to_ivalue(const TensorTable& table, const Napi::Value& value, const c10::TypePtr& type);

/**
 * Element types, layouts (only the strided one) and memory formats travel as int, and libtorch uses them unchecked.
 * @throws HandleError ENGINE_ARGUMENT for an argument of one of these names whose number is none of them.
 */
void check_enumeration(const std::string& name, const c10::IValue& value);

/** Tensors become handles, numbers and booleans themselves, lists arrays; no value becomes null. */
Napi::Value from_ivalue(Napi::Env env, TensorTable& table, const c10::IValue& value);

/** Number, checked to be whole and exactly representable. @throws HandleError ENGINE_ARGUMENT */
int64_t to_int64(const Napi::Value& value);

/** Array of whole numbers >= 0 whose product stays below 2^53. @throws HandleError ENGINE_ARGUMENT */
std::vector<int64_t> to_shape(const Napi::Value& value);

std::string describe(const at::Tensor& tensor);

}  // namespace ista
