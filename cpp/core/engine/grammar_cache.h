// The grammars compiled last, by their text, and the vocabulary that they are
// compiled for. Any thread: while one compiles, others find what is there.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "grammar/grammar.h"

namespace stomp {

class GrammarCache {
 public:
  explicit GrammarCache(size_t capacity = 32) : capacity_(capacity) {}

  /// Token i's bytes end at ends[i] and begin where the one before ends.
  /// Forgets all grammars. Throws Error(kInvalidRequest) when the ends do not
  /// rise to the number of bytes.
  void set_vocabulary(
      std::span<const char> bytes,
      std::span<const int32_t> ends);

  /// Compiled, or as it was compiled before. Throws as Grammar::compile does,
  /// and kInvalidRequest while there is no vocabulary.
  std::shared_ptr<const Grammar> get(const std::string& json);

  /// It is compiled; counts as a use.
  bool has(const std::string& json);

 private:
  struct Entry {
    std::string json;
    std::shared_ptr<const Grammar> grammar;
  };
  using Place = std::list<Entry>::iterator;

  /// Null where there is none. The lock is held.
  std::shared_ptr<const Grammar> find(const std::string& json);

  const size_t capacity_;
  std::mutex mutex_;                                   // guards what follows
  std::shared_ptr<const Vocabulary> vocabulary_;       // or null
  std::list<Entry> entries_;                           // used last first
  std::unordered_map<std::string_view, Place> places_; // views of the entries
};

} // namespace stomp
