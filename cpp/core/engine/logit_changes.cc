#include "engine/logit_changes.h"

namespace stomp {

LogitChanges::LogitChanges(
    const LogitOptions& options,
    std::span<const int32_t> prompt)
    : repetition_(options.repetition_penalty),
      presence_(options.presence_penalty),
      frequency_(options.frequency_penalty),
      none_(options.none()),
      penalties_(repetition_ != 1 || presence_ != 0 || frequency_ != 0) {
  for (const LogitBias& b : options.bias) {
    if (b.bias <= kRuledOut) {
      ruled_out_.push_back(b.token);
    } else {
      bias_.push_back(b);
    }
  }
  if (repetition_ != 1) {
    for (const int32_t token : prompt) {
      seen(token);
    }
  }
}

LogitChanges::Seen& LogitChanges::seen(int32_t token) {
  const auto [place, fresh] = places_.try_emplace(token, seen_.size());
  if (fresh) {
    seen_.push_back({token, 0});
  }
  return seen_[place->second];
}

void LogitChanges::said(int32_t token) {
  if (penalties_) {
    seen(token).times++;
  }
}

float LogitChanges::penalised(float logit, const Seen& seen) const {
  const float repeated = logit > 0 ? logit / repetition_ : logit * repetition_;
  const float present = seen.times > 0 ? presence_ : 0;
  return repeated - present - frequency_ * static_cast<float>(seen.times);
}

void LogitChanges::apply(std::span<float> logits) const {
  for (const LogitBias& b : bias_) {
    logits[b.token] += b.bias;
  }
  for (const Seen& s : seen_) {
    logits[s.token] = penalised(logits[s.token], s);
  }
}

} // namespace stomp
