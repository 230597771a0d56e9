// The folder of agent files of one model: which there are, and what is read,
// written and removed. Engine thread only; `wake` is called on the writer's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "store/agent_file.h"
#include "store/disk_writer.h"
#include "store/other_caches.h"
#include "store/segments.h"

namespace stomp {

/// Whether a file is damaged or of a later version: it is set aside when its
/// agent is used. What cannot be opened just now is not.
inline bool is_unreadable(const Error& error) {
  return error.code() == Code::kCacheCorrupt ||
      error.code() == Code::kIncompatibleCache;
}

class DiskTier {
 public:
  /// Creates `root`/`fingerprint`, takes the lock of `root` and removes what
  /// interrupted writes left. Throws kCacheInUse when another process (or
  /// another engine of this one) holds the lock, kCachePersistence otherwise.
  DiskTier(
      const std::string& root,
      const std::string& fingerprint,
      std::function<void()> wake);
  /// Waits for the file being written.
  ~DiskTier();

  struct Entry {
    uint64_t bytes = 0;
    int64_t used_ms = 0; // Unix time: written or restored last
    int tokens = -1;     // -1: not known before the file is opened
    bool cold = false;   // known to hold no keys and values
    bool stays = false;  // could not be made cold
  };
  /// Agents that have a file, by id.
  const std::map<std::string, Entry>& entries() const { return entries_; }
  Segments& segments() {
    bytes_.reset();
    return segments_;
  }
  const Segments& segments() const { return segments_; }
  OtherCaches& others() {
    bytes_.reset();
    return *others_;
  }
  /// Of all that is in the folder of caches, other models' included.
  uint64_t bytes() const;
  /// The agent whose file was used longest ago, of those with keys and values
  /// that may go and were not to stay.
  std::optional<std::string> least_recent(
      const std::function<bool(const std::string&)>& may_go) const;
  /// The agent's file stays as it is until it is written again.
  void let_stay(const std::string& agent);
  bool has(const std::string& agent) const { return entries_.count(agent); }

  /// Tokens in an agent's file; 0 when it cannot be read, which is told to
  /// whoever uses it.
  int tokens(const std::string& agent);
  /// Whether its file is known to hold no keys and values.
  bool cold(const std::string& agent) const {
    const auto found = entries_.find(agent);
    return found != entries_.end() && found->second.cold;
  }

  /// For use: the agent counts as used now. Throws as AgentFileReader does; on
  /// kCacheCorrupt after setting the file aside (renamed, kept).
  std::unique_ptr<AgentFileReader> open(const std::string& agent);
  /// As open(), but the file stays here, one at a time, for the open() that is
  /// likely to follow: a long cache's header takes milliseconds to verify. It
  /// is dropped when the agent's file is removed, set aside or replaced. A
  /// damaged one is not set aside: the open() that is to come says why.
  const AgentFileReader& look(const std::string& agent);
  /// As open(), but the agent does not count as used, and a damaged file is not
  /// set aside.
  std::unique_ptr<AgentFileReader> look_once(const std::string& agent);
  /// Renames the file to *.corrupt: the agent starts cold.
  void set_aside(const std::string& agent);
  /// On disk, too, when it returns. Throws kCachePersistence.
  void remove(const std::string& agent);

  // Writing, one file at a time, an agent's or a segment:
  //   begin, then push each block while room(), then poll until it is done.
  //   With abandon in the place of a block the file fails with that error.
  void begin(AgentFileHeader header);
  bool room() const { return writer_->room(); }
  void push(std::vector<std::byte> block);
  void abandon(Error why);
  using Result = DiskWriter::Result;
  /// Set once, when the file begun last is on disk or has failed.
  std::optional<Result> poll();

 private:
  std::string path_of(const std::string& agent) const;
  std::unique_ptr<AgentFileReader> verified(const std::string& agent);
  std::unique_ptr<AgentFileReader> verified_or_aside(const std::string& agent);
  std::unique_ptr<AgentFileReader> take_kept(const std::string& agent);
  void scan();

  void written(uint64_t bytes);

  std::string folder_;
  Segments segments_;
  std::optional<OtherCaches> others_;
  mutable std::optional<uint64_t> bytes_; // see bytes(); empty: to be counted
  int lock_ = -1;                         // file descriptor
  std::map<std::string, Entry> entries_;
  std::unique_ptr<AgentFileReader> kept_; // by look(), or null
  std::unique_ptr<DiskWriter> writer_;
  AgentFileHeader under_way_;         // of the file begun last
  std::vector<std::string> prefixes_; // of its blocks, if it is a segment
};

/// Takes an agent of the model out of a folder of caches that no engine uses,
/// with what it alone used; false when it is not there. Throws as DiskTier
/// does. Any thread.
bool remove_stored_agent(
    const std::string& root,
    const std::string& fingerprint,
    const std::string& agent);

/// File name of an agent, such that ids that differ in case only do not meet
/// on a case-insensitive file system: the id in lower case, then, if it was not
/// so already, '=' and which letters were upper case, four to a hexadecimal
/// digit.
std::string agent_file_name(const std::string& agent);
/// The reverse; nothing for names that agent_file_name does not make.
std::optional<std::string> agent_of_file_name(const std::string& name);

} // namespace stomp
