// Any text as a model's config.json: a configuration whose caches can be
// planned, or refused with an Error.
#include "base/error.h"
#include "cache/cache_spec.h"
#include "model/config.h"
#include "replay.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const stomp::ModelConfig config = stomp::config_from_hf_json(text);
    const stomp::ModelCacheSpec spec = stomp::make_cache_spec(config, 64, {2});
    size_t layers = 0;
    for (const stomp::LayerGroup& group : spec.groups) {
      layers += group.layers.size();
    }
    if (layers != static_cast<size_t>(config.n_layers)) {
      std::abort();
    }
    (void)stomp::plan_pool(spec, size_t{1} << 32, config.max_context, 512);
  } catch (const stomp::Error&) {
    // Refused: that is an answer.
  }
  return 0;
}
