// What JavaScript sees of processes that compute one run together.
#pragma once

#include <napi.h>

#include "../tensor_table.h"

namespace ista {

/** An object of functions, see engine/processes.ts. The table outlives it. */
Napi::Object process_functions(Napi::Env env, TensorTable& tensors);

}  // namespace ista
