#include "engine/form_worker.h"

#include <utility>

#include "base/thread_name.h"

namespace stomp {

FormWorker::~FormWorker() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  called_.notify_one();
  if (thread_.joinable()) {
    thread_.join();
  }
  for (const Job& job : jobs_) {
    job.done(Error(
        Code::kShuttingDown,
        "The engine was closed before the answer's form was ready."));
  }
}

void FormWorker::run(std::function<void()> work, Done done) {
  {
    const std::lock_guard lock(mutex_);
    jobs_.push_back({std::move(work), std::move(done)});
    if (!thread_.joinable()) {
      thread_ = std::thread([this] { main(); });
    }
  }
  called_.notify_one();
}

std::optional<FormWorker::Job> FormWorker::next() {
  std::unique_lock lock(mutex_);
  called_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
  if (stop_) {
    return std::nullopt;
  }
  Job job = std::move(jobs_.front());
  jobs_.pop_front();
  return job;
}

void FormWorker::main() {
  name_thread("stomp-forms");
  while (const std::optional<Job> job = next()) {
    std::optional<Error> error;
    try {
      job->work();
    } catch (const std::exception& e) {
      error = as_error(e, Code::kGenerationFailed);
    }
    job->done(std::move(error));
  }
}

} // namespace stomp
