// What lies in the folder of caches beside one model's agents: those of other
// models, and files that were set aside. Nobody else changes them while this
// process has the folder's lock. They count for the disk's budget and give way
// when they are the least recently used. Engine thread only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace stomp {

class OtherCaches {
 public:
  /// `root` is the folder of caches, `own` the model's folder in it.
  OtherCaches(const std::string& root, const std::string& own);

  uint64_t bytes() const { return bytes_; }

  /// Removes one of the files that were set aside; false when there is none.
  bool drop_one_aside();
  /// When the agent of another model that was used longest ago was used, Unix
  /// time in ms; nothing when there is none with keys and values.
  std::optional<int64_t> oldest_use() const;
  /// Lets that agent go cold: only its transcript stays. A file that cannot be
  /// read is passed over from then on. REQUIRES: there is one.
  void demote_oldest();

 private:
  struct File {
    std::string folder;
    std::string agent;
    uint64_t bytes = 0;
    int64_t used_ms = 0;
  };

  void add_folder(const std::string& folder, bool own);
  uint64_t sweep_segments(const std::string& folder) const;

  std::vector<File> agents_;       // of other models
  std::vector<std::string> aside_; // paths
  uint64_t bytes_ = 0;
};

/// When a file was written or used last, Unix time in ms, and its size; 0 and
/// 0 when there is no such file.
int64_t file_time_ms(const std::string& path, uint64_t& bytes);

} // namespace stomp
