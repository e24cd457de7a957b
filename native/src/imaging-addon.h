// What imaging-addon.cc adds to the addon.
#pragma once

#include <napi.h>

void add_imaging(Napi::Env env, Napi::Object exports);
