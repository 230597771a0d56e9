// Writes one safetensors file front to back, without ever holding it: the
// tensors are declared first, then their bytes are appended in that order. The
// file appears under its name only when finish() has it on the disk; until
// then, and after any failure, there is at most a temporary beside it
// ("<name>.<pid>-<n>.tmp"), which the destructor removes. One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "store/safetensors_reader.h"

namespace stomp {

struct TensorDeclaration {
  std::string name;
  Dtype dtype = Dtype::kU8;
  std::vector<uint64_t> shape;
};

/// Whether a file of this name is what a writer left that did not end well.
bool is_writer_temporary(std::string_view name);

class SafetensorsWriter {
 public:
  /// Reserves the file's whole size where the file system can, so that a full
  /// disk shows here. Throws kCachePersistence, here and below, naming the
  /// cause. REQUIRES: names are unique, none is "__metadata__".
  SafetensorsWriter(
      const std::string& path,
      const std::vector<TensorDeclaration>& tensors,
      const SafetensorsFile::Metadata& metadata);
  ~SafetensorsWriter();

  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  /// As SafetensorsFile::header() will have it: the same declarations give
  /// the same bytes. Padded with spaces so that the data begins at a multiple
  /// of 64.
  std::span<const std::byte> header() const {
    return std::as_bytes(std::span(header_));
  }

  /// The next bytes, in pieces of any size. REQUIRES: no more than declared.
  void append(std::span<const std::byte> bytes);

  /// Flushes, renames into place and makes the name durable. Returns the
  /// file's size in bytes. REQUIRES: every declared byte was appended.
  uint64_t finish();

 private:
  [[noreturn]] void fail(const char* what, int number);
  void create();
  void reserve();
  void write(std::span<const std::byte> bytes);
  void flush();
  void sync(int fd, const char* what);
  void discard() noexcept;

  std::string path_;
  std::string temporary_; // empty when there is none to remove
  int fd_ = -1;
  std::string header_;
  uint64_t total_ = 0;            // bytes of the finished file
  uint64_t appended_ = 0;         // header included
  std::vector<std::byte> buffer_; // small pieces, not written yet
};

} // namespace stomp
