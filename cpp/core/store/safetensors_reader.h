// A bounded, mapped reader of safetensors files, for models and for our own
// cache files. The constructor checks the header, every shape and every
// offset: tensors lie one after the other and fill the data section exactly.
// Immutable then; any thread may read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mapped_file.h"

namespace stomp {

enum class Dtype {
  kBool,
  kU8,
  kI8,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kU16,
  kI16,
  kF16,
  kBF16,
  kU32,
  kI32,
  kF32,
  kU64,
  kI64,
  kF64,
  kC64,
};

/// The name in the file, "BF16".
const char* dtype_name(Dtype dtype);
size_t dtype_bytes(Dtype dtype);

inline constexpr size_t kMaxTensorDims = 8;

struct SafetensorsTensor {
  std::string name;
  Dtype dtype = Dtype::kU8;
  std::vector<uint64_t> shape;
  // Not necessarily aligned: old writers do not pad the header.
  const std::byte* data = nullptr;
  size_t bytes = 0;
};

class SafetensorsFile {
 public:
  using Metadata = std::vector<std::pair<std::string, std::string>>;

  /// Throws `missing` and `unreadable` as MappedFile does, `invalid` naming
  /// what is wrong and where.
  explicit SafetensorsFile(
      const std::string& path,
      Code missing = Code::kModelNotFound,
      Code invalid = Code::kModelInvalid,
      Code unreadable = Code::kModelInvalid);

  const std::string& path() const { return file_.path(); }
  const MappedFile& file() const { return file_; }
  /// The length field and the JSON text, padding included.
  std::span<const std::byte> header() const {
    return file_.bytes().first(header_bytes_);
  }

  /// __metadata__, in file order.
  const Metadata& metadata() const { return metadata_; }
  const std::string* find_metadata(std::string_view key) const;

  /// In the order of their bytes.
  const std::vector<SafetensorsTensor>& tensors() const { return tensors_; }
  /// Null when absent.
  const SafetensorsTensor* find(std::string_view name) const;

 private:
  MappedFile file_;
  size_t header_bytes_ = 0;
  Metadata metadata_;
  std::vector<SafetensorsTensor> tensors_;
  std::vector<uint32_t> by_name_; // indices, sorted
};

} // namespace stomp
