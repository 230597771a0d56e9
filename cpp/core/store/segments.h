// The segments in a model's folder: runs of blocks that several agents' files
// refer to, kept once. Knows which prefix each block ends, and which agents use
// which segment; one that nobody uses any longer is removed. Engine thread
// only, but for scan().
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "store/agent_file.h"

namespace stomp {

class Segments {
 public:
  /// Of the folder `folder`, which need not be there.
  explicit Segments(std::string folder) : folder_(std::move(folder)) {}

  const std::string& folder() const { return folder_; }
  std::string path_of(const std::string& name) const {
    return folder_ + "/" + segment_file_name(name);
  }

  /// Reads what is there: `uses` are those of the agents' files, by agent.
  /// Removes what interrupted writes left and what nobody uses.
  void scan(const std::map<std::string, std::vector<SegmentUse>>& uses);

  /// The leading blocks of these prefixes that segments have.
  std::vector<SegmentUse> covering(const std::vector<std::string>& names) const;

  /// A segment that has been written; `names` are those of its blocks' ends.
  void add(
      const std::string& name,
      const std::vector<std::string>& names,
      uint64_t bytes);
  /// The agent's file uses these now, and those that it had before no longer.
  void use(const std::string& agent, const std::vector<SegmentUse>& segments);
  /// One of the agent's segments turned out to be bad: no new file uses any of
  /// them.
  void distrust(const std::string& agent);
  /// The file that is being written will use these: they stay meanwhile.
  void pin(const std::vector<SegmentUse>& segments);
  void unpin();

  uint64_t bytes() const;
  /// Bytes that agents' files would have more if each had its own.
  uint64_t saved_bytes() const;

 private:
  struct Segment {
    uint64_t bytes = 0;
    std::set<std::string> agents;
  };
  void read(const std::string& file);
  void remove(const std::string& name);
  void forget_ends(const std::string& name);
  void drop_unused(const std::set<std::string>& names);

  std::string folder_;
  std::map<std::string, Segment> segments_;
  std::map<std::string, std::string> ends_; // prefix: segment that has it
  std::map<std::string, std::set<std::string>> used_by_; // agent: segments
  std::set<std::string> pinned_;
};

} // namespace stomp
