// The export table; its shape is typed in ts/native.ts.
#include <future>

#include "convert.h"
#include "engine_handle.h"
#include "exec/cpu/kernel_choice.h"
#include "store/disk_tier.h"

namespace stomp::binding {

namespace {

Napi::Value load_engine(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const EngineOptions options = engine_options(info[0].As<Napi::Object>());
  const auto* type = env.GetInstanceData<Napi::FunctionReference>();
  const Napi::Object object = type->New({});
  return EngineHandle::Unwrap(object)->load(
      options, info[1].As<Napi::Function>(), info[2].As<Napi::Function>());
}

Napi::Value gguf_metadata(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  try {
    Napi::Object o = Napi::Object::New(env);
    for (const auto& [key, value] :
         read_gguf_metadata(info[0].As<Napi::String>().Utf8Value())) {
      o.Set(key, to_js(env, value));
    }
    return o;
  } catch (const Error& error) {
    throw to_js_error(env, error);
  }
}

Napi::Value remove_agent(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto text = [&](size_t i) {
    return info[i].As<Napi::String>().Utf8Value();
  };
  try {
    return Napi::Boolean::New(
        env, remove_stored_agent(text(0), text(1), text(2)));
  } catch (const Error& error) {
    throw to_js_error(env, error);
  }
}

Napi::Value list_cpu_features(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  Napi::Array list = Napi::Array::New(env);
  const std::vector<const cpu::Kernels*>& best_first = cpu::available_kernels();
  for (auto it = best_first.rbegin(); it != best_first.rend(); ++it) {
    list.Set(list.Length(), (*it)->isa);
  }
  return list;
}

/// On a thread of its own: MLX would keep the caller's as that of its streams.
Napi::Value check_kernels(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const std::string library = info[0].As<Napi::String>().Utf8Value();
  ExecutorOptions options;
  options.device = info[1].As<Napi::String>().Utf8Value();
  std::future<std::vector<KernelCheck>> checks = std::async(
      std::launch::async,
      [&] { return make_mlx_executor(options, library)->check_kernels(); });
  try {
    Napi::Array list = Napi::Array::New(env);
    for (const KernelCheck& check : checks.get()) {
      Napi::Object o = Napi::Object::New(env);
      o.Set("name", check.name);
      o.Set("failure", check.failure);
      o.Set("difference", check.difference);
      o.Set("microseconds", check.microseconds);
      list.Set(list.Length(), o);
    }
    return list;
  } catch (const Error& error) {
    throw to_js_error(env, error);
  }
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  auto type = std::make_unique<Napi::FunctionReference>(
      Napi::Persistent(EngineHandle::define(env)));
  env.SetInstanceData(type.release()); // freed with the environment
  exports.Set("version", STOMP_VERSION);
  exports.Set("cpuFeatures", Napi::Function::New(env, list_cpu_features));
  exports.Set("readGgufMetadata", Napi::Function::New(env, gguf_metadata));
  exports.Set("removeStoredAgent", Napi::Function::New(env, remove_agent));
  exports.Set("checkKernels", Napi::Function::New(env, check_kernels));
  exports.Set("loadEngine", Napi::Function::New(env, load_engine));
  return exports;
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, init)

} // namespace

} // namespace stomp::binding
