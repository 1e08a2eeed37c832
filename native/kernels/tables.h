// The tables of one instruction set, each defined at the end of the file with its functions.
#pragma once

#include "kernels.h"

namespace ista {
namespace ISTA_VECTOR_CODE {

extern const PixelKernels kPixels;
extern const DepthwiseKernels kDepthwise;
extern const ProductKernels kProducts;
extern const NormKernels kNorms;
extern const PoolKernels kPools;
extern const ArrayKernels kArrays;
extern const VectorCode kCode;

}  // namespace ISTA_VECTOR_CODE
}  // namespace ista
