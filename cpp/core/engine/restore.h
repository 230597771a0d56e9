// Brings a sequence back from its agent's file, a part at a time: reserved as
// a whole, then its blocks are read, checked and written, and counted as far as
// all groups of layers have theirs. Engine thread only.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/kv_cache.h"
#include "exec/executor.h"
#include "store/agent_file.h"

namespace stomp {

class Restore {
 public:
  /// Of the file's tokens the first `tokens`, or none: a window may have passed
  /// what so short a prefix needs. REQUIRES: the file fits `spec`.
  Restore(
      std::unique_ptr<AgentFileReader> file,
      const ModelCacheSpec& spec,
      int tokens);

  const AgentFileReader& file() const { return *file_; }
  /// How many tokens it will bring back.
  int tokens() const { return until_; }

  /// Room for all of them in an empty sequence; false when there is none.
  bool reserve(KvCache& cache, CachedSequence& seq) const;

  /// The next blocks, up to about max_bytes, by all of the executor's threads.
  /// False when nothing is left to do. After an error, which is kept, the
  /// sequence has what came before it.
  bool advance(
      Executor& executor,
      KvCache& cache,
      CachedSequence& seq,
      size_t max_bytes);
  const std::optional<Error>& error() const { return error_; }
  /// Of the segment that the error came from; empty: the agent's own file.
  const std::string& bad_segment() const { return bad_segment_; }

 private:
  size_t next_part(const ModelCacheSpec& spec, size_t max_bytes) const;
  /// Tokens of which every block before number `n` of the order is there.
  int tokens_before(size_t n, const ModelCacheSpec& spec) const;

  std::unique_ptr<AgentFileReader> file_;
  int until_ = 0;
  std::vector<int> first_;    // block, by group
  std::vector<size_t> order_; // the file's blocks, by their number in a table
  size_t next_ = 0;           // in order_
  std::optional<Error> error_;
  std::string bad_segment_;
};

} // namespace stomp
