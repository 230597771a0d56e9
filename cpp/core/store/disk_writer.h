// The thread that writes agents' files, one at a time, and the bounded queue
// of blocks between it and the engine thread, which alone may call this.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "store/agent_file.h"

namespace stomp {

class DiskWriter {
 public:
  /// `wake` is called on the thread when it took a block or is done.
  explicit DiskWriter(std::function<void()> wake);
  /// Waits for the file being written; one that lacks blocks is given up.
  ~DiskWriter();

  DiskWriter(const DiskWriter&) = delete;
  DiskWriter& operator=(const DiskWriter&) = delete;

  /// REQUIRES: the file before has had its result.
  void begin(std::string path, AgentFileHeader header);
  /// Whether the queue takes another block.
  bool room();
  void push(std::vector<std::byte> block);
  /// Instead of a block: the file fails with this error.
  void abandon(Error why);

  struct Result {
    std::optional<Error> error;
    double seconds = 0;
    uint64_t bytes = 0; // of the file
  };
  /// Set once, when the file begun last is on disk or has failed.
  std::optional<Result> poll();

 private:
  using Lock = std::unique_lock<std::mutex>;

  void main();
  uint64_t write(const AgentFileHeader& header, Lock& lock);
  std::vector<std::byte> take_block(Lock& lock);
  void drain(Lock& lock);

  std::function<void()> wake_;
  std::mutex mutex_; // guards what follows, down to thread_
  std::condition_variable changed_;
  bool stop_ = false;
  std::unique_ptr<AgentFileHeader> header_; // of the file to begin
  std::string path_;
  std::deque<std::vector<std::byte>> blocks_;
  size_t queued_bytes_ = 0;
  size_t handed_over_ = 0; // blocks taken from the queue
  size_t expected_ = 0;    // blocks of the file
  std::optional<Error> abandoned_;
  std::optional<Result> result_;

  std::thread thread_; // last: starts when all else is there
};

} // namespace stomp
