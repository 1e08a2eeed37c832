// All tables of one instruction set.
#include "tables.h"
#include "vector.h"

#define ISTA_TEXT_OF(name) #name
#define ISTA_TEXT(macro) ISTA_TEXT_OF(macro)

namespace ista {
namespace ISTA_VECTOR_CODE {

constexpr VectorCode kAll{ISTA_TEXT(ISTA_VECTOR_CODE), kLanes, kPixels, kDepthwise, kProducts, kNorms, kPools, kArrays};
const VectorCode kCode = kAll;

}  // namespace ISTA_VECTOR_CODE
}  // namespace ista
