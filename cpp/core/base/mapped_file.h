// A file mapped read-only for the object's life. Immutable after open(); any
// thread may read.
//
// The mapping is private, but a file that another process truncates while it
// is mapped still faults on access: model and cache files are replaced by
// rename, never rewritten in place.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/error.h"

struct stat;

namespace stomp {

enum class Advice {
  kWillNeed,   // start reading these bytes now
  kSequential, // read ahead further than usual
  kDontNeed,   // drop the pages; a later access reads the file again
};

class MappedFile {
 public:
  /// Throws `missing` when there is no such file, `invalid` when it is not a
  /// regular file, `unreadable` when the system refuses it (permissions, no
  /// descriptor or address space left): the file itself may be sound.
  explicit MappedFile(
      const std::string& path,
      Code missing = Code::kModelNotFound,
      Code invalid = Code::kModelInvalid,
      Code unreadable = Code::kModelInvalid);
  ~MappedFile();

  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  const std::byte* data() const { return data_; }
  size_t size() const { return size_; }
  /// Whether the path still leads to this file, and nobody has written to it.
  bool current() const;
  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// A hint about [offset, offset + length), clamped to the file.
  void advise(Advice advice, size_t offset = 0, size_t length = SIZE_MAX) const;

 private:
  struct Identity {
    uint64_t device = 0;
    uint64_t inode = 0;
    int64_t size = 0;
    int64_t changed_ns = 0; // contents, name or rights
    bool operator==(const Identity&) const = default;
  };
  static Identity identity(const struct stat& info);

  std::string path_;
  std::byte* data_ = nullptr; // null when the file is empty
  size_t size_ = 0;
  Identity identity_; // when it was opened
};

} // namespace stomp
