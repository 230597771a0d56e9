// The one place that includes Node-API.
#pragma once

#include <napi.h>
