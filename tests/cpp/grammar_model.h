// The vocabulary of a model's file with a byte-level tokenizer, as the tests
// that judge by a real one need it.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "base/utf8.h"
#include "store/gguf_reader.h"

namespace grammar_fixtures {

/// Byte-level tokenizers spell each byte as a character that can be printed:
/// itself, or the next one from U+0100 on.
inline std::map<std::string, char> spelled_bytes() {
  std::map<std::string, char> bytes;
  uint32_t next = 0x100;
  for (uint32_t byte = 0; byte < 256; byte++) {
    const bool itself =
        (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad);
    std::string spelling;
    stomp::encode_utf8(itself ? byte : next++, spelling);
    bytes[spelling] = static_cast<char>(byte);
  }
  return bytes;
}

/// The bytes of each token of a GGUF file; markers are empty.
inline std::vector<std::string> words_of_model(const std::string& path) {
  const stomp::GgufFile file(path);
  const auto spelled = std::get<std::vector<std::string>>(
      file.value(*file.find_metadata("tokenizer.ggml.tokens")));
  const auto types = std::get<std::vector<int64_t>>(
      file.value(*file.find_metadata("tokenizer.ggml.token_type")));
  const auto bytes = spelled_bytes();
  std::vector<std::string> words(spelled.size());
  for (size_t i = 0; i < spelled.size(); i++) {
    const std::string& token = spelled[i];
    constexpr int64_t kNormal = 1;
    for (size_t at = 0; types[i] == kNormal && at < token.size();) {
      const size_t length = (token[at] & 0x80) == 0 ? 1 : 2;
      words[i] += bytes.at(token.substr(at, length));
      at += length;
    }
  }
  return words;
}

} // namespace grammar_fixtures
