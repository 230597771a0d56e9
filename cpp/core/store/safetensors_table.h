// The quick way through a safetensors header. Writers put it as one line, with
// a tensor's fields in one order, and a cache file declares thousands: such a
// text goes straight into a table, where a JSON tree would cost as much as
// reading the tensors. Whatever is written otherwise is left to the JSON reader
// (base/json.h), which also says what is wrong with it. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "store/safetensors_reader.h"

namespace stomp {

/// A tensor as its header has it: `data` and `bytes` are not set.
struct DeclaredTensor {
  SafetensorsTensor tensor;
  uint64_t begin = 0; // data_offsets
  uint64_t end = 0;
};

struct SafetensorsTable {
  SafetensorsFile::Metadata metadata;
  std::vector<DeclaredTensor> tensors; // in the order of the text
};

/// Nothing unless the JSON reader would find the same, within its limits, but
/// for two things that are not looked at: names may occur twice, and offsets
/// be anything.
std::optional<SafetensorsTable> scan_table(std::string_view header);

/// The dtype of that name in a file.
std::optional<Dtype> dtype_named(std::string_view name);

} // namespace stomp
