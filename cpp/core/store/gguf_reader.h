// A bounded, mapped reader of GGUF versions 2 and 3 (little-endian). The
// constructor checks the whole header, every count, length, type and offset,
// and allocates in proportion to what the file really holds; after it,
// reading cannot leave the file. Immutable then; any thread may read.
//
// Format: the GGUF specification in the ggml repository, docs/gguf.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/mapped_file.h"

namespace stomp {

enum class GgufType : uint32_t {
  kU8 = 0,
  kI8 = 1,
  kU16 = 2,
  kI16 = 3,
  kU32 = 4,
  kI32 = 5,
  kF32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kU64 = 10,
  kI64 = 11,
  kF64 = 12,
};

/// A metadata value; integers and bools widen to int64, floats to double.
using GgufValue = std::variant<
    int64_t,
    double,
    std::string,
    std::vector<int64_t>,
    std::vector<double>,
    std::vector<std::string>>;

/// Where a value lies; decoded on demand by GgufFile::value.
struct GgufEntry {
  std::string key;
  GgufType type = GgufType::kU8; // of the elements, when an array
  bool array = false;
  uint64_t count = 1; // elements
  size_t offset = 0;  // of the first element, in the file
};

/// ggml's numbers of the tensor types we compute with.
enum GgmlType : uint32_t {
  kGgmlF32 = 0,
  kGgmlF16 = 1,
  kGgmlQ4_0 = 2,
  kGgmlQ4_1 = 3,
  kGgmlQ8_0 = 8,
  kGgmlBF16 = 30,
  kGgmlMxfp4 = 39,
};

struct GgufTensor {
  std::string name;
  std::vector<uint64_t> dims;      // fastest first: {cols, rows} of a matrix
  uint32_t type = kGgmlF32;        // one that ggml_type_name() knows
  const std::byte* data = nullptr; // aligned as the file says
  size_t bytes = 0;
};

/// "Q4_1", or null for a number that ggml does not define.
const char* ggml_type_name(uint32_t type);

class GgufFile {
 public:
  /// Throws kModelNotFound, kModelInvalid naming what is wrong and where, and
  /// kModelUnsupported for other versions and big-endian files.
  explicit GgufFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const MappedFile& file() const { return file_; }
  /// Everything before the tensors' data.
  std::span<const std::byte> header() const {
    return file_.bytes().first(header_bytes_);
  }

  /// In file order.
  const std::vector<GgufEntry>& metadata() const { return metadata_; }
  const std::vector<GgufTensor>& tensors() const { return tensors_; }

  /// Null when absent.
  const GgufEntry* find_metadata(std::string_view key) const;
  const GgufTensor* find_tensor(std::string_view name) const;

  /// Throws kModelInvalid for a u64 past the range of int64.
  GgufValue value(const GgufEntry& entry) const;

 private:
  MappedFile file_;
  size_t header_bytes_ = 0;
  std::vector<GgufEntry> metadata_;
  std::vector<GgufTensor> tensors_;
  std::vector<uint32_t> metadata_by_key_; // indices, sorted
  std::vector<uint32_t> tensors_by_name_;
};

} // namespace stomp
