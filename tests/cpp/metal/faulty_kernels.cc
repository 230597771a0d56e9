// The kernels of faulty.metal, registered by name.
#include <metal_stdlib>

namespace {

#include "faulty.metal"

} // namespace
