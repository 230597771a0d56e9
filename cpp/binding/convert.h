// Between the core's structs and JavaScript objects, field by field as typed
// in ts/native.ts. JavaScript thread only. Arguments were validated there: a
// missing or wrong field throws a TypeError and is a defect.
#pragma once

#include <vector>

#include "engine/engine.h"
#include "model/model_file.h"
#include "napi_cpp.h"

namespace stomp::binding {

EngineOptions engine_options(const Napi::Object& options);
Request request(const Napi::Object& request);

Napi::Object to_js(Napi::Env env, const EngineInfo& info);
Napi::Object to_js(Napi::Env env, const FinishEvent& event);
Napi::Object to_js(Napi::Env env, const EngineStats& stats);
Napi::Array to_js(Napi::Env env, const std::vector<AgentInfo>& agents);
Napi::Value to_js(Napi::Env env, const MetaValue& value);

/// An Error with `code` and `fields`.
Napi::Error to_js_error(Napi::Env env, const Error& error);

} // namespace stomp::binding
