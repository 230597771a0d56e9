// What a request changes about a row of logits before a token is chosen from
// it: a bias of its own, and penalties for what has been said. The state of
// one answer; costs per row as much as it has distinct tokens. One thread at a
// time.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace stomp {

struct LogitBias {
  int32_t token = 0;
  float bias = 0; // added; kRuledOut and less: never chosen
};

inline constexpr float kRuledOut = -100;

struct LogitOptions {
  // For tokens of prompt or answer: a positive logit is divided by it, another
  // one multiplied (Keskar et al. 2019). 1: off.
  float repetition_penalty = 1;
  float presence_penalty = 0;  // taken off for tokens of the answer
  float frequency_penalty = 0; // likewise, for each time
  std::vector<LogitBias> bias;

  bool none() const {
    return repetition_penalty == 1 && presence_penalty == 0 &&
        frequency_penalty == 0 && bias.empty();
  }
};

class LogitChanges {
 public:
  /// REQUIRES: all tokens are of the vocabulary.
  LogitChanges(const LogitOptions& options, std::span<const int32_t> prompt);

  /// The answer goes on with this token.
  void said(int32_t token);

  bool none() const { return none_; }

  /// Bias first, then repetition, then presence and frequency.
  void apply(std::span<float> logits) const;

  /// Tokens that the bias rules out.
  std::span<const int32_t> ruled_out() const { return ruled_out_; }

 private:
  struct Seen {
    int32_t token;
    int times; // in the answer
  };
  Seen& seen(int32_t token);
  float penalised(float logit, const Seen& seen) const;

  float repetition_ = 1;
  float presence_ = 0;
  float frequency_ = 0;
  bool none_ = true;
  bool penalties_ = false;
  std::vector<LogitBias> bias_;
  std::vector<int32_t> ruled_out_;
  std::vector<Seen> seen_; // each token once
  std::unordered_map<int32_t, size_t> places_;
};

} // namespace stomp
