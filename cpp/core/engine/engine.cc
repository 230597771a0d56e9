// The engine's thread and the commands posted to it.
#include "engine/engine.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/free_memory.h"
#include "base/thread_name.h"
#include "engine/core.h"
#include "engine/form_worker.h"
#include "engine/heartbeat.h"

namespace stomp {

std::unique_ptr<Executor> make_executor(const EngineOptions& options) {
  ExecutorOptions executor;
  executor.threads = options.threads;
  executor.max_step_tokens = options.prefill_step_tokens +
      options.max_batch_size + (options.speculation ? kDraftRows : 0);
  executor.exact = options.exact;
  executor.kv_bits = options.kv_bits;
  return options.executor == "mlx"
      ? make_mlx_executor(executor, options.mlx_library)
      : make_cpu_executor(executor);
}

struct Engine::Impl {
  using Command = std::function<void(EngineCore&)>;

  Impl(
      EngineOptions options,
      std::function<void(double)> progress,
      Reply<EngineInfo> ready,
      OnStep on_step,
      MakeExecutor make)
      : make_executor_(std::move(make)),
        thread_([this,
                 options = std::move(options),
                 progress = std::move(progress),
                 ready = std::move(ready),
                 on_step = std::move(on_step)]() mutable {
          name_thread("stomp-engine");
          main(options, progress, ready, std::move(on_step));
          return_free_memory(); // of the model, which is gone now
        }) {}

  ~Impl() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_ = true;
    }
    awake_.notify_one();
    thread_.join();
  }

  void post(Command command) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      commands_.push_back(std::move(command));
    }
    awake_.notify_one();
  }

  /// Runs `query` on the engine thread and replies with what it returns.
  template <class T>
  void ask(Reply<T> reply, std::function<T(EngineCore&)> query) {
    post(
        [reply = std::move(reply), query = std::move(query)](EngineCore& core) {
          std::optional<Error> error;
          T value{};
          try {
            value = query(core);
          } catch (const std::exception& e) {
            error = as_error(e, Code::kGenerationFailed);
          }
          reply(std::move(error), std::move(value));
        });
  }

  /// For actions that call `done` themselves, unless they throw.
  void act(Done done, std::function<void(EngineCore&, const Done&)> action) {
    post(
        [done = std::move(done), action = std::move(action)](EngineCore& core) {
          try {
            action(core, done);
          } catch (const std::exception& e) {
            done(as_error(e, Code::kGenerationFailed));
          }
        });
  }

  void wake() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      woken_ = true;
    }
    awake_.notify_one();
  }

  void main(
      const EngineOptions& options,
      const std::function<void(double)>& progress,
      const Reply<EngineInfo>& ready,
      OnStep on_step) {
    std::unique_ptr<EngineCore> core;
    try {
      std::shared_ptr<const Model> model = open_model(options.model_path);
      std::unique_ptr<Executor> executor = make_executor_(options);
      executor->load(model, progress);
      core = std::make_unique<EngineCore>(
          options,
          std::move(model),
          std::move(executor),
          std::move(on_step),
          [this] { wake(); },
          grammars_);
    } catch (const std::exception& e) {
      ready(as_error(e, Code::kModelInvalid), {});
      return;
    }
    return_free_memory(); // what the load took and no longer needs
    ready(std::nullopt, core->info());
    heartbeat_.beat();
    while (run_commands(*core)) {
      if (!work(*core)) {
        closing_step(*core);
        heartbeat_.rest();
        sleep(core->kept_back_until());
      }
      heartbeat_.beat();
    }
    heartbeat_.rest();
  }

  /// Requests fail rather than the process, whatever is thrown.
  static bool work(EngineCore& core) {
    try {
      return core.work();
    } catch (const std::exception& e) {
      core.fail_all(as_error(e, Code::kGenerationFailed));
      return false;
    }
  }

  /// False when the thread shall end.
  bool run_commands(EngineCore& core) {
    std::deque<Command> commands;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stop_) {
        return false;
      }
      commands.swap(commands_);
      woken_ = false;
    }
    for (const Command& command : commands) {
      command(core);
    }
    return true;
  }

  /// Once everything has been saved after close(), says so.
  void closing_step(EngineCore& core) {
    if (!closed_ || core.agents().saving()) {
      return;
    }
    const Done done = std::move(closed_);
    closed_ = nullptr;
    done(core.agents().unsaved());
  }

  void sleep(std::optional<Clock::time_point> until) {
    std::unique_lock<std::mutex> lock(mutex_);
    const auto called = [this] {
      return stop_ || woken_ || !commands_.empty();
    };
    if (until) {
      awake_.wait_until(lock, *until, called);
    } else {
      awake_.wait(lock, called);
    }
  }

  const std::shared_ptr<GrammarCache> grammars_ =
      std::make_shared<GrammarCache>();
  FormWorker forms_;

  const MakeExecutor make_executor_;
  Heartbeat heartbeat_;
  Done closed_; // set while closing; engine thread only

  std::mutex mutex_; // guards what follows
  std::condition_variable awake_;
  std::deque<Command> commands_;
  bool woken_ = false;
  bool stop_ = false;

  std::thread thread_; // last: starts when all else is there
};

Engine::Engine(
    EngineOptions options,
    std::function<void(double)> progress,
    Reply<EngineInfo> ready,
    OnStep on_step,
    MakeExecutor make)
    : impl_(std::make_unique<Impl>(
          std::move(options),
          std::move(progress),
          std::move(ready),
          std::move(on_step),
          std::move(make))) {}

Engine::~Engine() = default;

void Engine::submit(Request request) {
  impl_->post([request = std::move(request)](EngineCore& core) mutable {
    core.submit(std::move(request));
  });
}

void Engine::cancel(int32_t request) {
  impl_->post([request](EngineCore& core) { core.cancel(request); });
}

void Engine::agents(Reply<std::vector<AgentInfo>> reply) {
  impl_->ask<std::vector<AgentInfo>>(
      std::move(reply), [](EngineCore& core) { return core.agents().list(); });
}

void Engine::create(const std::string& agent, Done done) {
  impl_->act(std::move(done), [agent](EngineCore& core, const Done& done) {
    core.agents().create(agent);
    done(std::nullopt);
  });
}

void Engine::load(const std::string& agent, Done done) {
  impl_->act(std::move(done), [agent](EngineCore& core, const Done& done) {
    core.agents().load(agent, done);
  });
}

void Engine::fork(const std::string& from, const std::string& to, Done done) {
  impl_->act(std::move(done), [from, to](EngineCore& core, const Done& done) {
    core.agents().fork(from, to, done);
  });
}

void Engine::save(const std::string& agent, std::string transcript, Done done) {
  impl_->act(
      std::move(done),
      [agent, transcript = std::move(transcript)](
          EngineCore& core, const Done& done) {
        core.agents().save(agent, transcript, done);
      });
}

void Engine::transcript(const std::string& agent, Reply<std::string> reply) {
  impl_->ask<std::string>(std::move(reply), [agent](EngineCore& core) {
    return core.agents().transcript(agent);
  });
}

void Engine::evict(const std::string& agent, Done done) {
  impl_->act(std::move(done), [agent](EngineCore& core, const Done& done) {
    core.agents().evict(agent, done);
  });
}

void Engine::remove(const std::string& agent, Done done) {
  impl_->act(std::move(done), [agent](EngineCore& core, const Done& done) {
    core.cancel_agent(agent);
    core.agents().remove(agent);
    done(std::nullopt);
  });
}

void Engine::stats(Reply<EngineStats> reply) {
  impl_->ask<EngineStats>(
      std::move(reply), [](EngineCore& core) { return core.stats(); });
}

double Engine::silent_ms() const {
  return impl_->heartbeat_.silent_ms();
}

void Engine::set_vocabulary(
    std::vector<char> bytes,
    std::vector<int32_t> ends,
    Done done) {
  impl_->forms_.run(
      [grammars = impl_->grammars_,
       bytes = std::move(bytes),
       ends = std::move(ends)] { grammars->set_vocabulary(bytes, ends); },
      std::move(done));
}

void Engine::compile(std::string grammar, Done done) {
  if (impl_->grammars_->has(grammar)) {
    done(std::nullopt);
    return;
  }
  impl_->forms_.run(
      [grammars = impl_->grammars_, grammar = std::move(grammar)] {
        grammars->get(grammar);
      },
      std::move(done));
}

void Engine::set_batch_window(int milliseconds) {
  impl_->post([milliseconds](EngineCore& core) {
    core.set_batch_window(milliseconds);
  });
}

void Engine::clear_caches(bool disk, std::set<std::string> keep, Done done) {
  impl_->act(
      std::move(done),
      [disk, keep = std::move(keep)](EngineCore& core, const Done& done) {
        core.clear_caches(disk, keep, done);
      });
}

void Engine::close(Done done) {
  impl_->post([this, done = std::move(done)](EngineCore& core) {
    core.shut_down();
    core.agents().save_all_dirty();
    impl_->closed_ = done;
  });
}

} // namespace stomp
