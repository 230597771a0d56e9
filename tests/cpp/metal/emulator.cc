// See emulator.h.
#undef _FORTIFY_SOURCE // see fibre.cc

#include "emulator.h"

#include <signal.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <map>
#include <numeric>
#include <optional>
#include <random>

#include "fibre.h"

namespace emulator {

namespace {

enum class State { kReady, kAtExchange, kAtBarrier, kDone };

struct Thread {
  Position position;
  State state = State::kReady;
  Where where;
};

struct Simd {
  unsigned arrived = 0;
  // The lanes' values of this call and of the one before, from which others may
  // still be reading.
  unsigned turn = 0;
  alignas(kLaneBytes) std::byte values[2][kLanes * kLaneBytes];
};

std::string text_of(const Where& where) {
  const std::string file = where.file_name();
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line());
}

/// Fibres and their stacks, kept from group to group.
class Group {
 public:
  /// Binds what all groups of a dispatch share.
  void begin(const Kernel& kernel, const Dispatch& dispatch);
  void run(const Dispatch& dispatch, Uint3 where);

  const std::byte*
  exchange(const void* value, size_t bytes, const Where& where);
  void barrier(const Where& where);
  unsigned lane() const { return current_->position.lane; }

 private:
  static void thread_body(void* argument);
  void prepare(unsigned n_threads, Uint3 where);
  void sort(Order order);
  bool run_ready();
  bool all_done() const;
  [[noreturn]] void report_stuck() const;
  void meet(State state, const Where& where);
  void agree(unsigned begin, unsigned end, State state) const;
  void release(unsigned begin, unsigned end);

  const Kernel* kernel_ = nullptr;
  std::vector<void*> memories_;
  std::vector<std::unique_ptr<Fibre>> fibres_;
  std::vector<Thread> threads_;
  std::vector<Simd> simds_;
  std::vector<unsigned> order_;
  Thread* current_ = nullptr;
  unsigned at_barrier_ = 0;
  std::exception_ptr error_;
  std::mt19937 random_{1};
  std::vector<std::unique_ptr<Guarded>> shared_;
};

Group* group = nullptr;

// A fault of the processor, within a kernel.
sigjmp_buf fault_jump;
const void* fault_address = nullptr;

void on_fault(int signal_number, siginfo_t* info, void*) {
  const auto owns = [&](const Guarded* g) {
    return g->surrounds(info->si_addr);
  };
  const std::vector<const Guarded*>& all = all_guarded();
  if (std::none_of(all.begin(), all.end(), owns)) {
    signal(signal_number, SIG_DFL); // not ours: die of it
    return;
  }
  fault_address = info->si_addr;
  Fibre::before_leaving();
  siglongjmp(fault_jump, 1);
}

/// Catches faults while it lives.
class FaultHandler {
 public:
  FaultHandler() : stack_(new std::byte[kStackBytes]) {
    stack_t alternate{};
    alternate.ss_sp = stack_.get();
    alternate.ss_size = kStackBytes;
    sigaltstack(&alternate, &old_stack_);
    struct sigaction action{};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &old_segv_);
    sigaction(SIGBUS, &action, &old_bus_);
  }
  FaultHandler(const FaultHandler&) = delete;
  FaultHandler& operator=(const FaultHandler&) = delete;
  ~FaultHandler() {
    sigaction(SIGSEGV, &old_segv_, nullptr);
    sigaction(SIGBUS, &old_bus_, nullptr);
    sigaltstack(&old_stack_, nullptr);
  }

 private:
  static constexpr size_t kStackBytes = 64 << 10;
  std::unique_ptr<std::byte[]> stack_;
  stack_t old_stack_{};
  struct sigaction old_segv_{};
  struct sigaction old_bus_{};
};

void Group::thread_body(void* argument) {
  Group& self = *static_cast<Group*>(argument);
  Thread& thread = *self.current_;
  try {
    (*self.kernel_)(self.memories_.data(), thread.position);
  } catch (...) {
    self.error_ = std::current_exception();
  }
  thread.state = State::kDone;
}

void Group::begin(const Kernel& kernel, const Dispatch& dispatch) {
  kernel_ = &kernel;
  memories_.clear();
  for (Guarded* buffer : dispatch.buffers) {
    memories_.push_back(buffer->data());
  }
  shared_.clear();
  for (size_t bytes : dispatch.threadgroup_bytes) {
    shared_.push_back(
        std::make_unique<Guarded>("threadgroup memory", bytes, Edge::kEnd));
    memories_.push_back(shared_.back()->data());
  }
  while (fibres_.size() < dispatch.threads) {
    fibres_.push_back(std::make_unique<Fibre>());
  }
}

void Group::prepare(unsigned n_threads, Uint3 where) {
  const unsigned n_simds = n_threads / kLanes;
  simds_.assign(n_simds, {});
  threads_.clear();
  at_barrier_ = 0;
  error_ = nullptr;
  for (const auto& memory : shared_) {
    memory->poison();
  }
  for (unsigned i = 0; i < n_threads; i++) {
    threads_.push_back(
        {{where, i, i % kLanes, i / kLanes, n_simds}, State::kReady, {}});
    fibres_[i]->restart(thread_body, this);
  }
}

void Group::sort(Order order) {
  order_.resize(threads_.size());
  std::iota(order_.begin(), order_.end(), 0u);
  if (order == Order::kBackward) {
    std::reverse(order_.begin(), order_.end());
  } else if (order == Order::kShuffled) {
    std::shuffle(order_.begin(), order_.end(), random_);
  }
}

/// Lets each thread that can go on do so once; whether there was one.
bool Group::run_ready() {
  bool any = false;
  for (unsigned i : order_) {
    if (threads_[i].state != State::kReady) {
      continue;
    }
    any = true;
    current_ = &threads_[i];
    fibres_[i]->enter();
    if (error_) {
      std::rethrow_exception(error_);
    }
  }
  return any;
}

bool Group::all_done() const {
  return std::all_of(threads_.begin(), threads_.end(), [](const Thread& t) {
    return t.state == State::kDone;
  });
}

void Group::report_stuck() const {
  for (const Thread& thread : threads_) {
    if (thread.state == State::kAtExchange) {
      throw Fault(
          "not all lanes reached the SIMD-group function at " +
          text_of(thread.where));
    }
  }
  for (const Thread& thread : threads_) {
    if (thread.state == State::kAtBarrier) {
      throw Fault(
          "not all threads reached the barrier at " + text_of(thread.where));
    }
  }
  throw Fault("threads are stuck");
}

void Group::run(const Dispatch& dispatch, Uint3 where) {
  prepare(dispatch.threads, where);
  sort(dispatch.order);
  while (run_ready()) {
    if (dispatch.order == Order::kShuffled) {
      sort(dispatch.order);
    }
  }
  if (!all_done()) {
    report_stuck();
  }
  for (const auto& memory : shared_) {
    memory->check_surroundings();
  }
}

void Group::release(unsigned begin, unsigned end) {
  for (unsigned i = begin; i < end; i++) {
    threads_[i].state = State::kReady;
  }
}

/// Threads [begin, end) have met in `state`: at the same place?
void Group::agree(unsigned begin, unsigned end, State state) const {
  const Where& where = threads_[begin].where;
  for (unsigned i = begin; i < end; i++) {
    const Where& other = threads_[i].where;
    if (other.line() != where.line() || other.column() != where.column() ||
        std::strcmp(other.file_name(), where.file_name()) != 0) {
      throw Fault(
          std::string(
              state == State::kAtBarrier ? "threads are at different barriers"
                                         : "lanes are at different functions") +
          ": " + text_of(where) + " and " + text_of(other));
    }
  }
}

/// The thread that runs waits until the others have met it, see release().
void Group::meet(State state, const Where& where) {
  current_->state = state;
  current_->where = where;
}

const std::byte*
Group::exchange(const void* value, size_t bytes, const Where& where) {
  const Position& position = current_->position;
  Simd& simd = simds_[position.simd];
  std::byte* const values = simd.values[simd.turn];
  std::memcpy(values + position.lane * kLaneBytes, value, bytes);
  meet(State::kAtExchange, where);
  if (++simd.arrived == kLanes) {
    const unsigned first = position.simd * kLanes;
    agree(first, first + kLanes, State::kAtExchange);
    simd.arrived = 0;
    simd.turn ^= 1;
    release(first, first + kLanes);
  } else {
    Fibre::give_way();
  }
  return values;
}

void Group::barrier(const Where& where) {
  meet(State::kAtBarrier, where);
  const auto n = static_cast<unsigned>(threads_.size());
  if (++at_barrier_ == n) {
    agree(0, n, State::kAtBarrier);
    at_barrier_ = 0;
    release(0, n);
  } else {
    Fibre::give_way();
  }
}

void check_dispatch(const Kernel& kernel, const Dispatch& dispatch) {
  if (dispatch.threads == 0 || dispatch.threads > 1024 ||
      dispatch.threads % kLanes != 0) {
    throw Fault("a threadgroup has 32 to 1024 threads, a multiple of 32");
  }
  if (dispatch.buffers.size() + dispatch.threadgroup_bytes.size() !=
      kernel.memories()) {
    throw Fault("the kernel has more or fewer buffers than are bound");
  }
  const size_t shared = std::accumulate(
      dispatch.threadgroup_bytes.begin(),
      dispatch.threadgroup_bytes.end(),
      size_t{0});
  if (shared > kMostThreadgroupBytes) {
    throw Fault("more than 32 KB of threadgroup memory");
  }
}

void run_groups(const Kernel& kernel, const Dispatch& dispatch) {
  const auto [nx, ny, nz] = dispatch.groups;
  group->begin(kernel, dispatch);
  for (unsigned z = 0; z < nz; z++) {
    for (unsigned y = 0; y < ny; y++) {
      for (unsigned x = 0; x < nx; x++) {
        group->run(dispatch, {x, y, z});
      }
    }
  }
}

std::map<std::string, Kernel>& registry() {
  static std::map<std::string, Kernel> all;
  return all;
}

} // namespace

void run(const Kernel& kernel, const Dispatch& dispatch) {
  check_dispatch(kernel, dispatch);
  static Group threads;
  group = &threads;
  const FaultHandler handler;
  if (sigsetjmp(fault_jump, 1) != 0) {
    Fibre::after_leaving();
    for (const Guarded* memory : all_guarded()) {
      if (memory->surrounds(fault_address)) {
        throw Fault("an access " + memory->place_of(fault_address));
      }
    }
  }
  run_groups(kernel, dispatch);
  for (const Guarded* buffer : dispatch.buffers) {
    buffer->check_surroundings();
  }
}

const std::byte* exchange(const void* value, size_t bytes, const Where& where) {
  return group->exchange(value, bytes, where);
}

unsigned current_lane() {
  return group->lane();
}

void barrier(const Where& where) {
  group->barrier(where);
}

const Kernel& kernel(const std::string& name) {
  const auto found = registry().find(name);
  if (found == registry().end()) {
    throw std::out_of_range("there is no kernel " + name);
  }
  return found->second;
}

void Register::add(const char* name, Kernel kernel) {
  registry().emplace(name, std::move(kernel));
}

} // namespace emulator
