// Identity of a checkpoint's contents, wherever it lies. One object, one
// thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "base/sha256.h"

namespace stomp {

/// SHA-256 over headers, sizes and samples of the tensors: reading all of a
/// large model would take longer than loading it. Models that differ in
/// training differ in every sample.
class Fingerprint {
 public:
  void add_text(std::string_view text);
  void add_file(size_t bytes, std::span<const std::byte> header);
  /// Small tensors whole, of large ones a few pieces from end to end.
  void add_tensor(std::span<const std::byte> bytes);

  /// 32 hex digits. REQUIRES: called once, last.
  std::string finish();

 private:
  Sha256 sha_;
};

} // namespace stomp
