// The border to JavaScript: typed arrays and numbers in, their sizes checked, a kernel called. Nothing here computes. That
// of the voxel loops is imaging-addon.cc.
//
// Callers (native/kernels/*.ts) explain wrong shapes to people; what is checked here keeps a wrong call from touching
// memory that is not its own. Every C++ exception becomes a JavaScript one.

#include <napi.h>

#if !defined(_WIN32)
#include <dlfcn.h>
#endif
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdlib>
#include <string>

#include "arguments.h"
#include "gunzip-calls.h"
#include "imaging-addon.h"
#include "kernels/table.h"
#include "scratch.h"
#include "stored-calls.h"
#include "thread-pool.h"

namespace {

using ctflow::kernels;

// Tables of some registers for each channel stay small beside any tensor that has so many.
constexpr int kMostChannels = 1 << 20;

int64_t elements(const Arguments& a, int batch, const int size[3], int channels) {
  return a.product({batch, size[0], size[1], size[2], channels});
}

// shape = [batch, in x 3, ci, kernel x 3, out x 3, co, stride x 3, pad x 3]
ctflow::Conv3dShape conv3d_shape(const Arguments& a, int i) {
  static constexpr int kLeast[18] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0};
  int v[18];
  a.counts(i, "shape", 18, kLeast, v);
  ctflow::Conv3dShape s;
  s.batch = v[0];
  s.ci = v[4];
  s.co = v[11];
  for (int k = 0; k < 3; k++) {
    s.in[k] = v[1 + k];
    s.kernel[k] = v[5 + k];
    s.out[k] = v[8 + k];
    s.stride[k] = v[12 + k];
    s.pad[k] = v[15 + k];
    // Places are computed in int.
    if (s.in[k] > (1 << 24) || s.out[k] > (1 << 24) || s.kernel[k] > (1 << 10) || s.stride[k] > (1 << 10) || s.pad[k] > (1 << 10))
      fail(a.env(), "conv3d: a size is too large");
    if (static_cast<int64_t>(s.out[k]) * s.stride[k] > (1 << 30))
      fail(a.env(), "conv3d: the output's size times the stride is too large");
  }
  if (s.ci > kMostChannels || s.co > kMostChannels) fail(a.env(), "conv3d: too many channels");
  return s;
}

int64_t filter_elements(const Arguments& a, const ctflow::Conv3dShape& s) {
  return a.product({s.kernel[0], s.kernel[1], s.kernel[2], s.ci, s.co});
}

// Calls body with the kernels that argument i asks for: "float32" or nothing, "bfloat16", "bfloat16-emulated".
template <class Body>
void with_precision(const Arguments& a, int i, Body&& body) {
  const std::string precision = a.is_null(i) ? "float32" : a.text(i, "precision");
  if (precision == "float32") return body(kernels());
  if (precision == "bfloat16-emulated") return body(ctflow::emulated_bfloat16_kernels());
  if (precision != "bfloat16") fail(a.env(), "conv3d: no such precision: '" + precision + "'");
  const auto* native = ctflow::bfloat16_kernels();
  if (native == nullptr) fail(a.env(), "conv3d: this processor has no instructions for bfloat16");
  body(*native);
}

// (x, filter, y, shape, precision, norm or null, residual or null)
Napi::Value conv3d_forward(const Napi::CallbackInfo& info) {
  return guarded(info, "conv3d", [&](const Arguments& a) {
    const auto s = conv3d_shape(a, 3);
    const ctflow::Conv3dForward call{s, a.floats(0, "x", elements(a, s.batch, s.in, s.ci)),
                                     a.floats(1, "filter", filter_elements(a, s)),
                                     a.floats(2, "y", elements(a, s.batch, s.out, s.co)),
                                     a.is_null(5) ? nullptr : a.floats(5, "norm", a.product({s.batch, 3, s.ci})),
                                     a.is_null(6) ? nullptr : a.floats(6, "residual", elements(a, s.batch, s.out, s.co))};
    with_precision(a, 4, [&](const auto& variant) { variant.conv3d_forward(call); });
    return a.env().Undefined();
  });
}

// (dy, filter, dx, shape, precision)
Napi::Value conv3d_input_gradient(const Napi::CallbackInfo& info) {
  return guarded(info, "conv3d's input gradient", [&](const Arguments& a) {
    const auto s = conv3d_shape(a, 3);
    const ctflow::Conv3dInputGradient call{s, a.floats(0, "dy", elements(a, s.batch, s.out, s.co)),
                                           a.floats(1, "filter", filter_elements(a, s)),
                                           a.floats(2, "dx", elements(a, s.batch, s.in, s.ci))};
    with_precision(a, 4, [&](const auto& variant) { variant.conv3d_input_gradient(call); });
    return a.env().Undefined();
  });
}

// (x, dy, dfilter, shape, precision, norm or null)
Napi::Value conv3d_filter_gradient(const Napi::CallbackInfo& info) {
  return guarded(info, "conv3d's filter gradient", [&](const Arguments& a) {
    const auto s = conv3d_shape(a, 3);
    const ctflow::Conv3dFilterGradient call{s, a.floats(0, "x", elements(a, s.batch, s.in, s.ci)),
                                            a.floats(1, "dy", elements(a, s.batch, s.out, s.co)),
                                            a.floats(2, "dfilter", filter_elements(a, s)),
                                            a.is_null(5) ? nullptr : a.floats(5, "norm", a.product({s.batch, 3, s.ci}))};
    with_precision(a, 4, [&](const auto& variant) { variant.conv3d_filter_gradient(call); });
    return a.env().Undefined();
  });
}

// shape = [batch, voxels, channels, groups]
ctflow::GroupNormShape group_norm_shape(const Arguments& a, int shape, int epsilon, int relu) {
  static constexpr int kLeast[4] = {1, 1, 1, 1};
  int v[4];
  a.counts(shape, "shape", 4, kLeast, v);
  if (v[2] % v[3] != 0)
    fail(a.env(), "group norm: " + std::to_string(v[2]) + " channels do not make " + std::to_string(v[3]) + " groups");
  if (v[2] > kMostChannels) fail(a.env(), "group norm: too many channels");
  return {v[0], v[1], v[2], v[3], static_cast<float>(a.number(epsilon, "epsilon")), a.flag(relu)};
}

Napi::Value group_norm_forward(const Napi::CallbackInfo& info) {
  return guarded(info, "group norm", [&](const Arguments& a) {
    const auto s = group_norm_shape(a, 6, 7, 8);
    const int64_t size = a.product({s.batch, s.voxels, s.channels});
    kernels().group_norm_forward({s, a.floats(0, "x", size), a.floats(1, "gamma", s.channels), a.floats(2, "beta", s.channels),
                                  a.is_null(3) ? nullptr : a.floats(3, "y", size), a.floats(4, "mean", s.batch * s.groups),
                                  a.floats(5, "rstd", s.batch * s.groups)});
    return a.env().Undefined();
  });
}

Napi::Value group_norm_gradient(const Napi::CallbackInfo& info) {
  return guarded(info, "group norm's gradient", [&](const Arguments& a) {
    const auto s = group_norm_shape(a, 9, 10, 11);
    const int64_t size = a.product({s.batch, s.voxels, s.channels});
    kernels().group_norm_gradient(
        {s, a.floats(0, "dy", size), a.floats(1, "x", size), a.floats(2, "gamma", s.channels), a.floats(3, "beta", s.channels),
         a.floats(4, "mean", s.batch * s.groups), a.floats(5, "rstd", s.batch * s.groups), a.floats(6, "dx", size),
         a.floats(7, "dgamma", s.channels), a.floats(8, "dbeta", s.channels),
         a.is_null(12) ? nullptr : a.floats(12, "residual", size)});
    return a.env().Undefined();
  });
}

// shape = [batch, d, h, w, channels] of the small tensor
ctflow::UpsampleShape upsample_shape(const Arguments& a, int i) {
  static constexpr int kLeast[5] = {1, 1, 1, 1, 1};
  int v[5];
  a.counts(i, "shape", 5, kLeast, v);
  for (int k = 1; k < 4; k++)
    if (v[k] > (1 << 24)) fail(a.env(), "up-sampling: a size is too large");
  if (v[4] > kMostChannels) fail(a.env(), "up-sampling: too many channels");
  return {v[0], {v[1], v[2], v[3]}, v[4]};
}

Napi::Value upsample_forward(const Napi::CallbackInfo& info) {
  return guarded(info, "up-sampling", [&](const Arguments& a) {
    const auto s = upsample_shape(a, 3);
    const int64_t size = elements(a, s.batch, s.size, s.channels);
    kernels().upsample_forward({s, a.floats(0, "x", size), a.is_null(1) ? nullptr : a.floats(1, "skip", a.product({size, 8})),
                                a.floats(2, "y", a.product({size, 8}))});
    return a.env().Undefined();
  });
}

Napi::Value upsample_gradient(const Napi::CallbackInfo& info) {
  return guarded(info, "up-sampling's gradient", [&](const Arguments& a) {
    const auto s = upsample_shape(a, 2);
    const int64_t size = elements(a, s.batch, s.size, s.channels);
    kernels().upsample_gradient({s, a.floats(0, "dy", a.product({size, 8})), a.floats(1, "dx", size)});
    return a.env().Undefined();
  });
}

// (logits, labels, dlogits or null, [batch, voxels, classes, squared, background, jaccard, batch], smoothNr, smoothDr,
// lambdaDice, lambdaCe, batchSums or null, batchSamples, sums or null) -> [loss, dice, crossEntropy, badLabels]
Napi::Value dice_cross_entropy(const Napi::CallbackInfo& info) {
  return guarded(info, "Dice and cross-entropy", [&](const Arguments& a) {
    static constexpr int kLeast[7] = {1, 1, 2, 0, 0, 0, 0};
    int v[7];
    a.counts(3, "shape", 7, kLeast, v);
    if (v[2] > ctflow::kMostClasses)
      fail(a.env(), "Dice: at most " + std::to_string(ctflow::kMostClasses) + " classes, found " + std::to_string(v[2]));
    const int64_t voxels = a.product({v[0], v[1]});
    const int64_t size = a.product({voxels, v[2]});
    const int64_t sums = 3 * int64_t{v[2]};
    double loss = 0, dice = 0, cross_entropy = 0;
    int64_t bad_labels = 0;
    kernels().dice_cross_entropy({v[0], v[1], v[2], v[3] != 0, v[4] != 0, v[5] != 0, v[6] != 0, a.number(4, "smoothNr"),
                                  a.number(5, "smoothDr"), a.number(6, "lambdaDice"), a.number(7, "lambdaCe"),
                                  a.is_null(8) ? nullptr : a.doubles(8, "batchSums", sums), a.is_null(8) ? 1 : a.count(9, "batchSamples", 1),
                                  a.floats(0, "logits", size), a.integers(1, "labels", voxels),
                                  a.is_null(2) ? nullptr : a.floats(2, "dlogits", size),
                                  a.is_null(10) ? nullptr : a.doubles(10, "sums", sums), &loss, &dice, &cross_entropy, &bad_labels});
    Napi::Array result = Napi::Array::New(a.env(), 4);
    result[uint32_t{0}] = loss;
    result[uint32_t{1}] = dice;
    result[uint32_t{2}] = cross_entropy;
    result[uint32_t{3}] = ctflow::rehearsing() ? 0.0 : static_cast<double>(bad_labels);
    return static_cast<Napi::Value>(result);
  });
}

// (param, m, v, gradient, size, beta1, beta2, epsilon, weightDecay, stepSize, rootCorrection)
Napi::Value adam_update(const Napi::CallbackInfo& info) {
  return guarded(info, "Adam", [&](const Arguments& a) {
    const int size = a.count(4, "size", 0);
    kernels().adam_update({size, a.number(5, "beta1"), a.number(6, "beta2"), a.number(7, "epsilon"), a.number(8, "weightDecay"),
                           a.number(9, "stepSize"), a.number(10, "rootCorrection"), a.floats(3, "gradient", size),
                           a.floats(0, "param", size), a.floats(1, "m", size), a.floats(2, "v", size)});
    return a.env().Undefined();
  });
}

// (op, size, period, a or null, b or null, to)
Napi::Value elementwise(const Napi::CallbackInfo& info) {
  return guarded(info, "element-wise operation", [&](const Arguments& a) {
    const int op = a.count(0, "op", 0);
    if (op > static_cast<int>(ctflow::ElementwiseOp::kDivide)) fail(a.env(), "element-wise operation: unknown");
    const int size = a.count(1, "size", 0);
    const int period = a.count(2, "period", 1);
    const bool no_a = op == static_cast<int>(ctflow::ElementwiseOp::kFill);
    const bool no_b = op == static_cast<int>(ctflow::ElementwiseOp::kRelu);
    kernels().elementwise({static_cast<ctflow::ElementwiseOp>(op), size, period, no_a ? nullptr : a.floats(3, "a", size),
                           no_b ? nullptr : a.floats(4, "b", period), a.floats(5, "to", size)});
    return a.env().Undefined();
  });
}

Napi::Value channel_sum(const Napi::CallbackInfo& info) {
  return guarded(info, "sum", [&](const Arguments& a) {
    const int rows = a.count(0, "rows", 0);
    const int channels = a.count(1, "channels", 1);
    kernels().channel_sum({rows, channels, a.floats(2, "a", a.product({rows, channels})), a.floats(3, "to", channels)});
    return a.env().Undefined();
  });
}

Napi::Value softmax(const Napi::CallbackInfo& info) {
  return guarded(info, "softmax", [&](const Arguments& a) {
    const int rows = a.count(0, "rows", 0);
    const int classes = a.count(1, "classes", 1);
    const int64_t size = a.product({rows, classes});
    kernels().softmax({rows, classes, a.floats(2, "a", size), a.floats(3, "to", size)});
    return a.env().Undefined();
  });
}

// (what, seconds) -> {rate, probe}, or null where this processor cannot do that
Napi::Value peak(const Napi::CallbackInfo& info) {
  return guarded(info, "peak", [&](const Arguments& a) {
    const std::string what = info[0].ToString().Utf8Value();
    double rate = 0;
    const char* best = "";
    const double seconds = a.number(1, "seconds");
    if (!(seconds > 0 && seconds <= 60)) fail(a.env(), "peak: expected up to 60 seconds, found " + written(seconds));
    const ctflow::PeakProbe probe{seconds, &rate, &best};
    if (what == "float32") {
      kernels().peak_probe(probe);
    } else if (what == "bfloat16") {
      if (!ctflow::bfloat16_probe(probe)) return a.env().Null();
    } else if (what == "copy") {
      ctflow::copy_probe(probe);
    } else {
      fail(a.env(), "peak: expected float32, bfloat16 or copy, found '" + what + "'");
    }
    Napi::Object result = Napi::Object::New(a.env());
    result["rate"] = rate;
    result["probe"] = best;
    return static_cast<Napi::Value>(result);
  });
}

Napi::Value isas(const Napi::CallbackInfo& info) {
  Napi::Array names = Napi::Array::New(info.Env());
  for (int i = 0; i < ctflow::variant_count(); i++) names[static_cast<uint32_t>(i)] = ctflow::variant(i).isa;
  return names;
}

Napi::Value isa(const Napi::CallbackInfo& info) { return Napi::String::New(info.Env(), kernels().isa); }

Napi::Value set_isa(const Napi::CallbackInfo& info) {
  return guarded(info, "setIsa", [&](const Arguments& a) {
    const std::string name = info[0].ToString().Utf8Value();
    if (!ctflow::select_isa(name.c_str())) fail(a.env(), "this processor has no kernels for '" + name + "'");
    return a.env().Undefined();
  });
}

Napi::Value has_bfloat16(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), ctflow::bfloat16_kernels() != nullptr);
}

Napi::Value threads(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), ctflow::thread_count()); }

Napi::Value set_threads(const Napi::CallbackInfo& info) {
  return guarded(info, "setThreads", [&](const Arguments& a) {
    ctflow::set_thread_count(a.count(0, "threads", 1));
    return a.env().Undefined();
  });
}

// (on): from now on kernels that this thread calls take their scratch memory and compute nothing; false ends it.
Napi::Value rehearse(const Napi::CallbackInfo& info) {
  return guarded(info, "rehearse", [&](const Arguments& a) {
    ctflow::set_rehearsing(a.flag(0));
    return a.env().Undefined();
  });
}

Napi::Value scratch_peak(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(ctflow::scratch_peak()));
}

Napi::Value trim_scratch(const Napi::CallbackInfo& info) {
  ctflow::trim_scratch();
  return info.Env().Undefined();
}

// An ArrayBuffer of `bytes`, not cleared, on a boundary that vectors like; large ones ask for large pages, which cuts the
// cost of touching them the first time.
Napi::Value allocate(const Napi::CallbackInfo& info) {
  return guarded(info, "allocate", [&](const Arguments& a) {
    const double bytes = a.number(0, "bytes");
    if (!(bytes >= 1 && bytes <= static_cast<double>(kMostElements)) || std::floor(bytes) != bytes)
      fail(a.env(), "allocate: no such size: " + written(bytes));
    constexpr size_t kLargePage = size_t{2} << 20;
    const size_t wanted = static_cast<size_t>(bytes);
    const size_t boundary = wanted >= 2 * kLargePage ? kLargePage : 64;
    void* data = std::aligned_alloc(boundary, (wanted + boundary - 1) / boundary * boundary);
    if (data == nullptr) throw std::bad_alloc();
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (boundary == kLargePage) madvise(data, (wanted + boundary - 1) / boundary * boundary, MADV_HUGEPAGE);
#endif
    napi_value buffer;
    const auto release = [](napi_env, void* memory, void*) { std::free(memory); };
    const napi_status status = napi_create_external_arraybuffer(a.env(), data, wanted, release, nullptr, &buffer);
    if (status == napi_no_external_buffers_allowed) {
      std::free(data);
      fail(a.env(), "allocate: this runtime refuses memory from outside");
    }
    if (status != napi_ok) {
      // Longer than its arrays can be: it has freed the memory and thrown an error that says less.
      napi_value thrown;
      napi_get_and_clear_last_exception(a.env(), &thrown);
      fail(a.env(), "allocate: this runtime has no arrays of " + written(bytes) + " bytes");
    }
    return Napi::Value(a.env(), buffer);
  });
}

// Takes the memory from an ArrayBuffer now instead of when the garbage collector finds it.
Napi::Value release(const Napi::CallbackInfo& info) {
  return guarded(info, "release", [&](const Arguments& a) {
    if (!info[0].IsArrayBuffer()) fail(a.env(), "release: not an ArrayBuffer");
    if (napi_detach_arraybuffer(a.env(), info[0]) != napi_ok) fail(a.env(), "release: this memory cannot be taken");
    return a.env().Undefined();
  });
}

// Node unloads an addon when the last JavaScript thread that loaded it ends; the pool's threads still run in it.
void stay_loaded() {
#if !defined(_WIN32)
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&stay_loaded), &self) != 0) dlopen(self.dli_fname, RTLD_LAZY | RTLD_NODELETE);
#endif
}

Napi::Object initialise(Napi::Env env, Napi::Object exports) {
  stay_loaded();
  const auto set = [&](const char* name, Napi::Value (*call)(const Napi::CallbackInfo&)) {
    exports.Set(name, Napi::Function::New(env, call, name));
  };
  set("conv3dForward", conv3d_forward);
  set("conv3dInputGradient", conv3d_input_gradient);
  set("conv3dFilterGradient", conv3d_filter_gradient);
  set("groupNormForward", group_norm_forward);
  set("groupNormGradient", group_norm_gradient);
  set("upsampleForward", upsample_forward);
  set("upsampleGradient", upsample_gradient);
  set("diceCrossEntropy", dice_cross_entropy);
  set("adamUpdate", adam_update);
  set("elementwise", elementwise);
  set("channelSum", channel_sum);
  set("softmax", softmax);
  set("peak", peak);
  set("isas", isas);
  set("isa", isa);
  set("setIsa", set_isa);
  set("hasBfloat16", has_bfloat16);
  set("threads", threads);
  set("setThreads", set_threads);
  set("rehearse", rehearse);
  set("scratchPeak", scratch_peak);
  set("trimScratch", trim_scratch);
  set("allocate", allocate);
  set("release", release);
  add_stored_calls(env, exports);
  add_gunzip_calls(env, exports);
  add_imaging(env, exports);
  return exports;
}

}  // namespace

NODE_API_MODULE(ctflow, initialise)
