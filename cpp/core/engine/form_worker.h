// The thread on which vocabularies and grammars are made ready, one after the
// other, so that requests without a form do not wait for them. Any thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/error.h"

namespace stomp {

class FormWorker {
 public:
  using Done = std::function<void(std::optional<Error>)>;

  FormWorker() = default;
  /// Finishes what it is at; tells all that have not begun kShuttingDown.
  ~FormWorker();
  FormWorker(const FormWorker&) = delete;
  FormWorker& operator=(const FormWorker&) = delete;

  /// Runs the work after all that was given before, then `done`, with what the
  /// work threw. Both on this thread.
  void run(std::function<void()> work, Done done);

 private:
  struct Job {
    std::function<void()> work;
    Done done;
  };
  void main();
  std::optional<Job> next();

  std::mutex mutex_; // guards what follows
  std::condition_variable called_;
  std::deque<Job> jobs_;
  bool stop_ = false;
  std::thread thread_; // from the first job on
};

} // namespace stomp
